"""`issuers.toml`: which foreign issuers the next keyset names, as far as a file can say it.

What counts is the keyset that the roots have signed; the file is what is offered to them::

    foreign_token_life_s = 5400     # the longest life of any of their tokens; optional

    [[foreign_issuers]]
    iss = "https://keycloak.example.com/realms/shop"
    jwks_uri = "https://keycloak.example.com/realms/shop/protocol/openid-connect/certs"
    profile = "keycloak"
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from tocsin_schemas.errors import ConfigurationError

ISSUERS_NAME = "issuers.toml"
_MAX_BYTES = 256 * 1024
_SETTINGS = frozenset(
    {
        "foreign_issuers",
        "foreign_token_life_s",
        "foreign_refresh_s",
        "foreign_least_pause_s",
    }
)


def read_issuers_file(path: Path) -> dict[str, object]:
    """The settings in the file, for :class:`tocsin_issuer.config.IssuerConfig` to check; none where
    there is no file, and then the keyset stays as it is.

    Raises:
        ConfigurationError: ``issuers_file_unreadable`` or ``issuers_file_malformed``.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError:
        raise ConfigurationError("issuers_file_unreadable", f"{path}: cannot read it") from None
    try:
        if len(text) > _MAX_BYTES:
            raise ConfigurationError("issuers_file_malformed", f"{path}: too large")
        members = tomllib.loads(text.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError("issuers_file_malformed", f"{path}: {error}") from None
    unknown = sorted(members.keys() - _SETTINGS)
    if unknown:
        raise ConfigurationError("issuers_file_malformed", f"{path}: unknown: {unknown[0]}")
    return members
