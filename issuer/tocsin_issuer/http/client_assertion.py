"""A client's signed assertion in place of a secret: ``private_key_jwt`` (RFC 7523 section 2.2).

The assertion is read by the strict core, against the client's own registered keys. It must name us
and nobody else: one that also named another server could be used there, or come from there.
"""

from collections.abc import Mapping, Set
from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType, ValidationError, convert

from tocsin_schemas import base64url, jws, strict_json
from tocsin_schemas.client_assertion import ASSERTION_TYP
from tocsin_schemas.errors import EncodingRejected, JwsRejected
from tocsin_schemas.jwk import PublicKey

MAX_LIFE_S: Final = 3600
"""What client libraries write where nobody tells them; an assertion is used once in any case."""

LEEWAY_S: Final = 30
_TYPES: Final = frozenset((None, "jwt", ASSERTION_TYP))
ALGORITHMS: Final = ("RS256", "ES256", "EdDSA", "Ed25519")
MAX_NAME_LENGTH: Final = 255
_MAX_VALUES: Final = 64

_Identifier = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_LENGTH)]
_Time = Annotated[int, Meta(gt=0, lt=2**40)]


class Assertion(Struct, frozen=True, kw_only=True):
    """The claims that count. Times are whole seconds of UTC."""

    iss: _Identifier
    sub: _Identifier
    aud: str | tuple[str, ...]
    exp: _Time
    jti: _Identifier
    iat: _Time | UnsetType = UNSET
    nbf: _Time | UnsetType = UNSET


def claimed_client(text: str) -> str | None:
    """Whose keys to look for: what an assertion says before anything of it has been verified."""
    try:
        payload = base64url.decode(jws.split(text)[1])
        sub = strict_json.loads_object(payload, _MAX_VALUES).get("sub")
    except (JwsRejected, EncodingRejected):
        return None
    return sub if isinstance(sub, str) and len(sub) <= MAX_NAME_LENGTH else None


def read_assertion(
    text: str, keys: Mapping[str, PublicKey], audiences: Set[str], now: float
) -> Assertion | None:
    """The assertion, if one of the keys signed it, it is for us, and it is good at ``now`` (seconds
    of UTC); else None. Whether its jti was used before is not looked at.

    A client with one key need not name it (RFC 7515 section 4.1.4: kid is optional).
    """
    only = next(iter(keys)) if len(keys) == 1 else None
    try:
        header, payload = jws.verify_compact(text, keys, default_kid=only)
        claims = strict_json.loads_object(payload, _MAX_VALUES)
        assertion = convert(claims, Assertion)
    except (JwsRejected, EncodingRejected, ValidationError):
        return None
    typ = header.get("typ")
    if (None if typ is None else jws.normal_typ(typ)) not in _TYPES:
        return None  # an access token of the same key's, say (RFC 8725 section 3.11)
    aud = assertion.aud if isinstance(assertion.aud, tuple) else (assertion.aud,)
    good = (
        assertion.iss == assertion.sub
        and len(aud) == 1
        and aud[0] in audiences
        and now - LEEWAY_S < assertion.exp <= now + MAX_LIFE_S + LEEWAY_S
        and (assertion.iat is UNSET or assertion.iat <= now + LEEWAY_S)
        and (assertion.nbf is UNSET or assertion.nbf <= now + LEEWAY_S)
    )
    return assertion if good else None
