"""The text of a `.tocsin` file: what `tocsin_verifier_agent.agent_file` reads, written once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final

from tocsin_schemas.errors import ConfigurationError

_DELETE: Final = "\x7f"


def render_service_file(
    *,
    issuer: str,
    audiences: Sequence[str],
    thumbprints: Iterable[str],
    threshold: int,
    servers: Sequence[str],
    credentials: str | None,
    max_lease_ms: int | None = None,
    roots_version: int = 1,
) -> str:
    """The file of one service, in TOML.

    ``credentials`` is relative to the file. ``roots_version`` is that of the root set. The
    thumbprints are sorted: the same values give the same text.

    Raises:
        ConfigurationError: ``service_file_invalid`` for a value that no UTF-8 file can hold.
    """
    lines = [
        f"issuer = {_string(issuer)}",
        f"audiences = {_array(audiences)}",
        "",
        "[roots]",
        f"thumbprints = {_array(sorted(thumbprints))}",
        f"threshold = {threshold}",
        *([f"version = {roots_version}"] if roots_version > 1 else []),
        "",
        "[bus]",
        f"servers = {_array(servers)}",
    ]
    if credentials is not None:
        lines.append(f"credentials = {_string(credentials)}")
    if max_lease_ms is not None:
        lines += ["", "[policy]", f"max_lease_ms = {max_lease_ms}"]
    return "\n".join(lines) + "\n"


def _array(values: Iterable[str]) -> str:
    return f"[{', '.join(_string(value) for value in values)}]"


def _string(value: str) -> str:
    """A TOML basic string.

    JSON's escapes are a subset of TOML's, but for two things: JSON leaves DEL alone, which TOML
    forbids, and writes what lies outside the basic plane as surrogates, which TOML does not know.
    """
    if any(0xD800 <= ord(character) <= 0xDFFF for character in value):
        raise ConfigurationError("service_file_invalid", "a value holds a lone surrogate")
    return json.dumps(value, ensure_ascii=False).replace(_DELETE, "\\u007f")
