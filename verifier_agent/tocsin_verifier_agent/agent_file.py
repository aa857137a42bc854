"""The `.tocsin` file: all that a service needs to know, in one TOML file.

It pins the trust roots, so only its owner may be able to change it or read it; the one secret, the
bus credentials, stays in a file of its own beside it.
"""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct, ValidationError, convert

from tocsin_revocation_bus.core.trust import PinnedRoots
from tocsin_revocation_bus.jetstream.connection import BusAddress, check_credentials
from tocsin_schemas.errors import ConfigurationError
from tocsin_schemas.keyset import Thumbprint
from tocsin_verifier_agent import endpoint
from tocsin_verifier_agent.client_assertion import ClientAssertions
from tocsin_verifier_agent.client_tls import ClientTls
from tocsin_verifier_agent.core.leniency import OnStale
from tocsin_verifier_agent.issuer_access import IssuerAccess

FILE_VARIABLE = "TOCSIN_FILE"
MAX_FILE_BYTES = 64 * 1024
MAX_SECRET_BYTES = 4 * 1024

Name = Annotated[str, Meta(min_length=1, max_length=1024)]
PathName = Annotated[str, Meta(pattern=r"^[^\x00]{1,1024}\Z")]


class RootsSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The pinned root keys, how many of them must sign a keyset, and the version of their set: the
    ledger of an issuer that has changed its roots begins with older ones.
    """

    thumbprints: Annotated[tuple[Thumbprint, ...], Meta(min_length=1, max_length=16)]
    threshold: Annotated[int, Meta(ge=1, le=16)] = 1
    version: Annotated[int, Meta(ge=1, le=2**53)] = 1


class BusSection(Struct, frozen=True, forbid_unknown_fields=True):
    """Where NATS is. Paths are relative to the file."""

    servers: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=32)]
    credentials: PathName | None = None
    ca: PathName | None = None


class PolicySection(Struct, frozen=True, forbid_unknown_fields=True):
    """What this agent chooses within the signed policy.

    ``on_stale`` is what it does without a lease, unless a route says otherwise: refuse (503), go on
    accepting for at most 15 minutes, or ask the issuer. In the mode ``observe`` the ledger's
    verdicts are counted and not enforced.
    """

    max_lease_ms: Annotated[int, Meta(ge=100, le=3_600_000)] | None = None
    on_stale: OnStale = "reject"
    mode: Literal["enforce", "observe"] = "enforce"


class IssuerSection(Struct, frozen=True, forbid_unknown_fields=True):
    """A foreign issuer whose tokens this service accepts too, and our names in them."""

    issuer: Name
    audiences: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=32)]


class ClientSection(Struct, frozen=True, forbid_unknown_fields=True):
    """Where to ask the issuer, and as whom: by a secret in a file of its own, mode 600, or by a
    certificate and its key (RFC 8705), or by a secret over a connection that takes a certificate.
    """

    url: Annotated[str, Meta(min_length=1, max_length=1024)]
    client_id: Name
    client_secret_file: PathName | None = None
    ca: PathName | None = None
    certificate: PathName | None = None
    key: PathName | None = None


class IntrospectionSection(ClientSection, frozen=True, forbid_unknown_fields=True):
    """About tokens."""


class ExchangeSection(ClientSection, frozen=True, forbid_unknown_fields=True):
    """For tokens of other services in exchange for callers'. ``url`` is that of the token endpoint,
    or ``https://host:port`` of the gRPC listener. In place of a secret the client may sign
    assertions (RFC 7523), with a private key in a file of its own, mode 600.
    """

    transport: Literal["http", "grpc"] = "http"
    assertion_key_file: PathName | None = None


class AgentFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A checked `.tocsin` file.

    With ``sidecar``, the path of a Unix socket, tokens are verified by the host's sidecar and the
    rest is the sidecar's business.
    """

    issuer: Name
    audiences: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=32)]
    roots: RootsSection
    bus: BusSection
    policy: PolicySection = PolicySection()
    issuers: Annotated[tuple[IssuerSection, ...], Meta(max_length=32)] = ()
    introspection: IntrospectionSection | None = None
    exchange: ExchangeSection | None = None
    sidecar: PathName | None = None

    def pinned(self) -> PinnedRoots:
        """The roots to trust."""
        roots = self.roots
        return PinnedRoots(frozenset(roots.thumbprints), roots.threshold, roots.version)

    def address(self, folder: Path) -> BusAddress:
        """Where NATS is; the paths in the file are relative to ``folder``.

        Raises:
            ConfigurationError: ``credentials_missing`` or ``credentials_mode``.
        """
        credentials = None if self.bus.credentials is None else folder / self.bus.credentials
        if credentials is not None:
            check_credentials(credentials)
        ca = None if self.bus.ca is None else folder / self.bus.ca
        return BusAddress(self.bus.servers, credentials, ca)

    def foreign(self) -> dict[str, frozenset[str]]:
        """Our names in the tokens of each foreign issuer."""
        return {section.issuer: frozenset(section.audiences) for section in self.issuers}

    def introspection_secret(self, folder: Path) -> str:
        """The secret to ask with, empty where there is none; ``introspection`` must be there.

        Raises:
            ConfigurationError: ``credentials_missing``, ``credentials_mode`` or
                ``credentials_malformed``.
        """
        if self.introspection is None:
            raise ConfigurationError("file_malformed", "the file has no section introspection")
        return _secret_of(self.introspection, folder) or ""

    def exchange_access(self, folder: Path) -> IssuerAccess:
        """Where to exchange tokens, and as whom.

        Raises:
            ConfigurationError: ``exchange_unset`` where the file does not say; as
                :meth:`introspection_secret` and :class:`ClientAssertions`.
        """
        section = self.exchange
        if section is None:
            raise ConfigurationError("exchange_unset", "the file has no section exchange")
        assertions = None
        if section.assertion_key_file is not None:
            assertions = ClientAssertions(
                folder / section.assertion_key_file,
                client_id=section.client_id,
                issuer=self.issuer,
            )
        return IssuerAccess(
            url=section.url,
            client_id=section.client_id,
            client_secret=_secret_of(section, folder),
            assertions=assertions,
            tls=_tls_of(section, folder),
        )

    def introspection_tls(self, folder: Path) -> ClientTls:
        """The certificate files to ask with; the key is closed to others.

        Raises:
            ConfigurationError: ``credentials_missing`` or ``credentials_mode``.
        """
        section = self.introspection
        return ClientTls() if section is None else _tls_of(section, folder)


def path_from_environment() -> Path:
    """The file that ``TOCSIN_FILE`` names.

    Raises:
        ConfigurationError: ``file_unset``.
    """
    name = os.environ.get(FILE_VARIABLE)
    if not name:
        raise ConfigurationError("file_unset", f"{FILE_VARIABLE} does not name a .tocsin file")
    return Path(name)


def read(path: Path) -> AgentFile:
    """Read and check a file.

    Raises:
        ConfigurationError: ``file_missing``, ``file_mode``, ``file_malformed``; each message is one
            line that says what to change.
    """
    try:
        mode = path.stat().st_mode
        text = _read_bounded(path, MAX_FILE_BYTES)
    except OSError:
        raise ConfigurationError("file_missing", f"{path}: cannot read the file") from None
    except ValueError:
        raise ConfigurationError("file_malformed", f"{path}: too large") from None
    if mode & 0o077:
        raise ConfigurationError("file_mode", f"{path}: open to others; chmod 600")
    try:
        parsed = convert(tomllib.loads(text.decode("utf-8")), AgentFile)
    except (ValueError, ValidationError) as error:  # a number of 5,000 digits is a ValueError
        raise ConfigurationError("file_malformed", f"{path}: {_one_line(error)}") from None
    except RecursionError:
        raise ConfigurationError("file_malformed", f"{path}: nested too deeply") from None
    fault = _contradiction(parsed)
    if fault is not None:
        raise ConfigurationError("file_malformed", f"{path}: {fault}")
    return parsed


def _contradiction(parsed: AgentFile) -> str | None:
    issuers = [parsed.issuer, *(section.issuer for section in parsed.issuers)]
    if parsed.roots.threshold > len(set(parsed.roots.thumbprints)):
        return "roots.threshold cannot be met"
    if len(set(issuers)) != len(issuers):
        return "an issuer stands twice"
    sections = {"introspection": parsed.introspection, "exchange": parsed.exchange}
    for name, section in sections.items():
        fault = None if section is None else _fault_of(name, section)
        if fault is not None:
            return fault
    if parsed.introspection is None and parsed.policy.on_stale == "introspect":
        return 'on_stale = "introspect" needs a section introspection'
    return None


def _fault_of(name: str, section: ClientSection) -> str | None:
    wrong = endpoint.fault_of(section.url)
    if wrong is not None:
        return f"{name}.url {wrong}"
    if (section.certificate is None) != (section.key is None):
        return f"{name}.certificate and {name}.key come together"
    shown: list[str | None] = [section.client_secret_file, section.certificate]
    needed = "client_secret_file, or certificate and key"
    if isinstance(section, ExchangeSection):
        if None not in (section.client_secret_file, section.assertion_key_file):
            return f"{name} has client_secret_file or assertion_key_file, not both"
        shown.append(section.assertion_key_file)
        needed += ", or assertion_key_file"
    return None if any(shown) else f"{name} needs {needed}"


def _tls_of(section: ClientSection, folder: Path) -> ClientTls:
    if section.key is not None:
        check_credentials(folder / section.key)
    names = (section.ca, section.certificate, section.key)
    return ClientTls(*(None if name is None else folder / name for name in names))


def _secret_of(section: ClientSection, folder: Path) -> str | None:
    if section.client_secret_file is None:
        return None
    path = folder / section.client_secret_file
    check_credentials(path)
    try:
        secret = _read_bounded(path, MAX_SECRET_BYTES).decode("utf-8").strip()
    except (OSError, ValueError):
        secret = ""
    if not secret or not secret.isprintable():
        raise ConfigurationError("credentials_malformed", f"{path}: no secret in one line")
    return secret


def _read_bounded(path: Path, most: int) -> bytes:
    """The whole of a regular file.

    Raises:
        OSError: it cannot be read, or is not a file.
        ValueError: it has more than ``most`` bytes.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("not a file")
    with path.open("rb") as file:
        text = file.read(most + 1)
    if len(text) > most:
        raise ValueError("too large")
    return text


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
