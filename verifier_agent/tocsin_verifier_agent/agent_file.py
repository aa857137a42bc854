"""The `.tocsin` file: all that a service needs to know, in one TOML file.

It pins the trust roots, so only its owner may be able to change it or read it; the one secret, the
bus credentials, stays in a file of its own beside it.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct, ValidationError, convert

from tocsin_revocation_bus.core.trust import PinnedRoots
from tocsin_revocation_bus.jetstream.connection import BusAddress, check_credentials
from tocsin_schemas.errors import ConfigurationError
from tocsin_schemas.keyset import Thumbprint

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

    Without a lease it rejects (503); there is no other choice.
    """

    max_lease_ms: Annotated[int, Meta(ge=100, le=3_600_000)] | None = None
    on_stale: Literal["reject"] = "reject"


class AgentFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A checked `.tocsin` file. ``path`` is where it was read from."""

    issuer: Name
    audiences: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=32)]
    roots: RootsSection
    bus: BusSection
    policy: PolicySection = PolicySection()

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
    if parsed.roots.threshold > len(set(parsed.roots.thumbprints)):
        raise ConfigurationError("file_malformed", f"{path}: roots.threshold cannot be met")
    return parsed
