"""The `.tocsin` file: all that a service needs to know, in one TOML file.

It pins the trust roots, so only its owner may be able to change it or read it; the one secret, the
bus credentials, stays in a file of its own beside it.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct, ValidationError, convert

from tocsin_revocation_bus.core.trust import PinnedRoots
from tocsin_revocation_bus.jetstream.connection import BusAddress, check_credentials
from tocsin_schemas.errors import ConfigurationError
from tocsin_schemas.keyset import Thumbprint
from tocsin_verifier_agent.core.leniency import OnStale

FILE_VARIABLE = "TOCSIN_FILE"
MAX_FILE_BYTES = 64 * 1024

Name = Annotated[str, Meta(min_length=1, max_length=1024)]


class RootsSection(Struct, frozen=True, forbid_unknown_fields=True):
    """The pinned root keys, and how many of them must sign a keyset."""

    thumbprints: Annotated[tuple[Thumbprint, ...], Meta(min_length=1, max_length=16)]
    threshold: Annotated[int, Meta(ge=1, le=16)] = 1


class BusSection(Struct, frozen=True, forbid_unknown_fields=True):
    """Where NATS is. Paths are relative to the file."""

    servers: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=32)]
    credentials: str | None = None
    ca: str | None = None


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


class IntrospectionSection(Struct, frozen=True, forbid_unknown_fields=True):
    """Where to ask about tokens, and as whom. The secret is in a file of its own, mode 600."""

    url: Annotated[str, Meta(min_length=1, max_length=1024)]
    client_id: Name
    client_secret_file: Name
    ca: str | None = None


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
    sidecar: Name | None = None

    def pinned(self) -> PinnedRoots:
        """The roots to trust."""
        return PinnedRoots(frozenset(self.roots.thumbprints), self.roots.threshold)

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
        """The secret to ask with; ``introspection`` must be there.

        Raises:
            ConfigurationError: ``credentials_missing``, ``credentials_mode`` or
                ``credentials_malformed``.
        """
        if self.introspection is None:
            raise ConfigurationError("file_malformed", "the file has no section introspection")
        path = folder / self.introspection.client_secret_file
        check_credentials(path)
        secret = path.read_text("utf-8", "replace").strip()
        if not secret:
            raise ConfigurationError("credentials_malformed", f"{path}: the file is empty")
        return secret


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
        text = path.read_bytes()[: MAX_FILE_BYTES + 1]
    except OSError:
        raise ConfigurationError("file_missing", f"{path}: cannot read the file") from None
    if mode & 0o077:
        raise ConfigurationError("file_mode", f"{path}: open to others; chmod 600")
    if len(text) > MAX_FILE_BYTES:
        raise ConfigurationError("file_malformed", f"{path}: too large")
    try:
        members = tomllib.loads(text.decode("utf-8"))
        parsed = convert(members, AgentFile)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValidationError) as error:
        first_line = str(error).splitlines()[0]
        raise ConfigurationError("file_malformed", f"{path}: {first_line}") from None
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
    if parsed.introspection is not None and not _is_safe(parsed.introspection.url):
        return "introspection.url must be https, or http on loopback"
    if parsed.policy.on_stale == "introspect" and parsed.introspection is None:
        return 'on_stale = "introspect" needs a section introspection'
    return None


def _is_safe(url: str) -> bool:
    """Whether a token may be sent there."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme == "https":
        return bool(host)
    return parts.scheme == "http" and host in {"127.0.0.1", "::1", "localhost"}
