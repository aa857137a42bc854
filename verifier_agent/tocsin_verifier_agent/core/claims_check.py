"""What a token claims, against whom it is for, the clock, and what the issuer may ever write."""

from msgspec import UNSET

from tocsin_revocation_bus.core.state import TokenFacts
from tocsin_schemas import jti
from tocsin_schemas.claims import EXP_LEEWAY_S, IAT_AHEAD_S, NBF_LEEWAY_S
from tocsin_schemas.errors import TokenRejected
from tocsin_verifier_agent.core.access_token import AccessToken


def check_audience(token: AccessToken, audiences: frozenset[str]) -> None:
    """RFC 7519 section 4.1.3: ``aud`` is ours, or an array that contains ours.

    Raises:
        TokenRejected: ``aud``.
    """
    aud = token.aud
    if aud not in audiences if type(aud) is str else audiences.isdisjoint(aud):
        raise TokenRejected("aud")


def check_expiry(exp: int, wall: float, horizon: int) -> None:
    """A clock that is slow, or was set back, does not lengthen a token's life.

    Raises:
        TokenRejected: ``exp``.
    """
    if wall >= exp + EXP_LEEWAY_S or horizon >= exp + EXP_LEEWAY_S:
        raise TokenRejected("exp")


def check_times(token: AccessToken, wall: float, horizon: int, max_life_s: int) -> None:
    """``iat``, ``nbf`` and ``exp`` (RFC 7519 section 4.1) are within bounds.

    Raises:
        TokenRejected: ``iat``, ``nbf`` or ``exp``.
    """
    iat, exp, nbf = token.iat, token.exp, token.nbf
    check_expiry(exp, wall, horizon)
    if exp <= iat or exp - iat > max_life_s:
        raise TokenRejected("exp")
    if iat > wall + IAT_AHEAD_S:
        raise TokenRejected("iat")
    if nbf is not UNSET and nbf > wall + NBF_LEEWAY_S:
        raise TokenRejected("nbf")


def facts_from(kid: str, token: AccessToken, *, own_jti: bool) -> TokenFacts:
    """What the rules look at, of a token of our own issuer.

    Raises:
        TokenRejected: ``jti`` where it is missing, or outside its lane's hour; ``act``.
    """
    name = token.jti
    if name is UNSET:
        raise TokenRejected("jti")
    iat, sid, origin = token.iat, token.sid, token.orig
    place = jti.parse(name)
    if own_jti and (place is None or not jti.issued_in_lane(place, iat)):
        raise TokenRejected("jti")
    places, names = ((), (name,)) if place is None else ((place,), ())
    if origin is not UNSET:
        iat = min(iat, origin.iat)
        place = jti.parse(origin.jti)
        if place is None:
            names = (*names, origin.jti)
        else:
            places = (*places, place)
    named = None if sid is UNSET else sid
    return TokenFacts(kid, places, names, named, token.sub, token.clients(), iat)


def foreign_facts_from(thumbprint: str, token: AccessToken) -> TokenFacts:
    """What the rules look at, of a foreign issuer's token.

    Our cutoffs are on our clock and ``iat`` is on theirs, which may be ahead by as much as a token
    is accepted early; a cutoff must hit every token that was there before it, so it takes some of
    the seconds after it along.
    """
    names = () if token.jti is UNSET else (token.jti,)
    sid = None if token.sid is UNSET else token.sid
    iat = token.iat - IAT_AHEAD_S
    return TokenFacts(thumbprint, (), names, sid, token.sub, token.clients(), iat, token.iss)
