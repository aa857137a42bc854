"""The claims of an access token, read strictly: exact types, finite times, no coercion."""

from collections.abc import Mapping
from typing import Any

from tocsin_revocation_bus.core.state import TokenFacts, facts_of
from tocsin_schemas import jti
from tocsin_schemas.claims import EXP_LEEWAY_S, IAT_AHEAD_S, NBF_LEEWAY_S
from tocsin_schemas.errors import TokenRejected

MAX_IDENTIFIER_LENGTH = 255
_MAX_TIME = 2**40
_MAX_ACTORS = 8


def _time(claims: Mapping[str, Any], name: str) -> int:
    value = claims.get(name)
    if type(value) is not int or not 0 < value < _MAX_TIME:
        raise TokenRejected(name)
    return value


def _identifier(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if type(value) is not str or not 0 < len(value) <= MAX_IDENTIFIER_LENGTH:
        raise TokenRejected(name)
    return value


def _optional_identifier(claims: Mapping[str, Any], name: str) -> str | None:
    return _identifier(claims, name) if name in claims else None


def check_audience(claims: Mapping[str, Any], audiences: frozenset[str]) -> None:
    """RFC 7519 section 4.1.3: ``aud`` is ours, or an array of strings that contains ours.

    Raises:
        TokenRejected: ``aud``.
    """
    aud = claims.get("aud")
    if type(aud) is str:
        if aud in audiences:
            return
    elif (
        type(aud) is list and all(type(one) is str for one in aud) and not audiences.isdisjoint(aud)
    ):
        return
    raise TokenRejected("aud")


def check_expiry(exp: int, wall: float, horizon: int) -> None:
    """A clock that is slow, or was set back, does not lengthen a token's life.

    Raises:
        TokenRejected: ``exp``.
    """
    if max(wall, horizon) >= exp + EXP_LEEWAY_S:
        raise TokenRejected("exp")


def check_times(claims: Mapping[str, Any], wall: float, horizon: int, max_life_s: int) -> None:
    """``iat``, ``nbf`` and ``exp`` (RFC 7519 section 4.1) are whole seconds within bounds.

    Raises:
        TokenRejected: ``iat``, ``nbf`` or ``exp``.
    """
    iat, exp = _time(claims, "iat"), _time(claims, "exp")
    check_expiry(exp, wall, horizon)
    if not iat < exp <= iat + max_life_s:
        raise TokenRejected("exp")
    if iat > wall + IAT_AHEAD_S:
        raise TokenRejected("iat")
    if "nbf" in claims and _time(claims, "nbf") > wall + NBF_LEEWAY_S:
        raise TokenRejected("nbf")


def facts_from(kid: str, claims: Mapping[str, Any], *, own_jti: bool) -> TokenFacts:
    """Read the claims that rules look at.

    Raises:
        TokenRejected: with the name of the claim.
    """
    issued_at = iat = _time(claims, "iat")
    names = [_identifier(claims, "jti")]
    if "orig" in claims:
        origin = claims["orig"]
        if type(origin) is not dict:
            raise TokenRejected("orig")
        names.append(_identifier(origin, "jti"))
        iat = min(iat, _time(origin, "iat"))
    facts = facts_of(
        kid=kid,
        jtis=names,
        sid=_optional_identifier(claims, "sid"),
        sub=_identifier(claims, "sub"),
        clients=_clients(claims),
        iat=iat,
    )
    if own_jti:
        place = facts.places[0] if facts.places and len(names) == 1 else jti.parse(names[0])
        if place is None or not jti.issued_in_lane(place.lane, issued_at):
            raise TokenRejected("jti")
    return facts


def _clients(claims: Mapping[str, Any]) -> list[str]:
    """The token's client and every actor in ``act`` (RFC 8693 section 4.1)."""
    clients: list[str] = []
    own = _optional_identifier(claims, "client_id")
    if own is not None:
        clients.append(own)
    actor: object = claims.get("act")
    while actor is not None:
        if type(actor) is not dict or len(clients) > _MAX_ACTORS:
            raise TokenRejected("act")
        clients.append(_identifier(actor, "sub"))
        actor = actor.get("act")
    return clients


def check_permissions(claims: Mapping[str, Any]) -> None:
    """``scope`` is a string and ``perms`` an array of strings, where there are any.

    Raises:
        TokenRejected: ``scope`` or ``perms``.
    """
    if type(claims.get("scope", "")) is not str:
        raise TokenRejected("scope")
    perms = claims.get("perms", [])
    if type(perms) is not list:
        raise TokenRejected("perms")
    for one in perms:
        if type(one) is not str:
            raise TokenRejected("perms")
