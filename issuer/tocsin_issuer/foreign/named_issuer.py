"""One `[[foreign_issuers]]` table, checked, and as the keyset holds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import ValidationError, convert, to_builtins

from tocsin_issuer.foreign.jwks_uri import check_jwks_uri
from tocsin_schemas.errors import ConfigurationError
from tocsin_schemas.issuer_profile import PROFILES, ForeignIssuer, IssuerProfile

PRESET = "preset"


def foreign_issuer(iss: str, jwks_uri: str, profile: str | Mapping[str, Any]) -> ForeignIssuer:
    """``profile`` is a preset's name, or a table of a profile's fields that take the place of those
    of the ``preset`` that it names (``rfc9068`` where it names none).

    Raises:
        ConfigurationError: ``iss``, ``jwks_uri``, ``profile_unknown`` or ``profile_invalid``.
    """
    check_jwks_uri(jwks_uri)
    members = {"iss": iss, "jwks_uri": jwks_uri, "profile": to_builtins(_profile(profile))}
    try:
        return convert(members, ForeignIssuer)
    except ValidationError:
        raise ConfigurationError("iss", "iss or jwks_uri: empty or too long") from None


def _profile(given: str | Mapping[str, Any]) -> IssuerProfile:
    changes = {} if isinstance(given, str) else {k: v for k, v in given.items() if k != PRESET}
    name = given if isinstance(given, str) else given.get(PRESET, "rfc9068")
    if not isinstance(name, str) or name not in PROFILES:
        names = ", ".join(PROFILES)
        raise ConfigurationError("profile_unknown", f"profile: none of the presets: {names}")
    for absent in ("jti", "sid"):  # TOML has no null
        if changes.get(absent) == "":
            changes[absent] = None
    try:
        return convert({**to_builtins(PROFILES[name]), **changes}, IssuerProfile)
    except ValidationError as error:
        raise ConfigurationError("profile_invalid", f"profile: {error}") from None
