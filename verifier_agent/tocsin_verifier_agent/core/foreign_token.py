"""Other providers' access tokens, brought into the form of ours by the issuer's profile."""

from collections.abc import Iterator, Mapping
from typing import Any

from tocsin_schemas.errors import TokenRejected
from tocsin_schemas.issuer_profile import NO_TYP, IssuerProfile, Path
from tocsin_verifier_agent.core import access_token
from tocsin_verifier_agent.core.access_token import AccessToken

_AS_THEY_ARE = ("iss", "aud", "cnf", "exp", "iat", "nbf")


def read(profile: IssuerProfile, typ: str | None, claims: Mapping[str, Any]) -> AccessToken:
    """Read a foreign issuer's claims; ``typ`` is its header's, in normal form.

    Whatever else it writes under names of ours (``act``, ``orig``, ``perms``) means nothing here.

    Raises:
        TokenRejected: ``typ`` for what is not an access token by the profile, else the name of the
            claim, in our form, that is missing or malformed.
    """
    if (NO_TYP if typ is None else typ) not in profile.typ or not _is_access_token(profile, claims):
        raise TokenRejected("typ")
    names = {"sub": profile.sub, **{name: name for name in _AS_THEY_ARE}}
    if profile.jti is not None:
        names["jti"] = profile.jti
        if profile.jti not in claims:
            raise TokenRejected("jti")
    if profile.sid is not None:
        names["sid"] = profile.sid
    client = next((name for name in profile.client if name in claims), None)
    if client is not None:
        names["client_id"] = client
    members = {ours: claims[theirs] for ours, theirs in names.items() if theirs in claims}
    members["scope"] = " ".join(word for name in profile.scope for word in _scopes(claims, name))
    members["perms"] = [role for path in profile.roles for role in _roles(claims, path)]
    return access_token.from_claims(members)


def _is_access_token(profile: IssuerProfile, claims: Mapping[str, Any]) -> bool:
    return (
        all(claims.get(name) == text for name, text in profile.must_equal.items())
        and all(any(name in claims for name in group) for group in profile.must_hold)
        and not any(name in claims for name in profile.must_not_hold)
    )


def _scopes(claims: Mapping[str, Any], name: str) -> list[str]:
    """Words of a string (RFC 6749 section 3.3), or an array of words."""
    value = claims.get(name, "")
    if type(value) is str:
        return value.split()
    if type(value) is list and all(type(word) is str and word.split() == [word] for word in value):
        return value
    raise TokenRejected("scope")


def _roles(claims: Mapping[str, Any], path: Path) -> Iterator[str]:
    value: Any = claims
    for name in path:
        if type(value) is not dict:
            raise TokenRejected("perms")
        if name not in value:
            return
        value = value[name]
    if type(value) is not list or not all(type(role) is str for role in value):
        raise TokenRejected("perms")
    yield from value
