"""The claims of an access token that decide, read strictly: exact types, no coercion.

Whatever the issuer, what decides ends in one form; RFC 9068 tokens are in it already.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, Struct, UnsetType, ValidationError, convert, field, json

from tocsin_schemas import strict_json
from tocsin_schemas.confirmation import X5T_S256
from tocsin_schemas.errors import TokenRejected
from tocsin_schemas.keyset import Thumbprint

MAX_IDENTIFIER_LENGTH: Final = 255
MAX_ACTORS: Final = 8
MAX_VALUES: Final = 512  # of a token's payload; it is bounded before it is parsed

Identifier = Annotated[str, Meta(min_length=1, max_length=MAX_IDENTIFIER_LENGTH)]
Time = Annotated[int, Meta(gt=0, lt=2**40)]


class Origin(Struct, frozen=True, gc=False):
    """The first subject token of a derived one."""

    iat: Time
    jti: Identifier


class Actor(Struct, frozen=True, gc=False, kw_only=True):
    """Who acts for the subject, and for whom that one acts (RFC 8693 section 4.1)."""

    act: "Actor | UnsetType" = UNSET
    sub: Identifier


class Confirmation(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """What the token is bound to (RFC 7800): a certificate (RFC 8705 section 3.1) and nothing else,
    for a key (``jkt``, ``jwk``, ``kid``) is nothing that can be checked here.
    """

    x5t_s256: Thumbprint = field(name=X5T_S256)


class AccessToken(Struct, frozen=True, gc=False, kw_only=True):
    """Times are whole seconds of UTC. A claim that is null is not a claim that is absent.

    The fields stand in the order of canonical JSON, for :func:`read`.
    """

    act: Actor | UnsetType = UNSET
    aud: str | tuple[str, ...]
    client_id: Identifier | UnsetType = UNSET
    cnf: Confirmation | UnsetType = UNSET
    exp: Time
    iat: Time
    iss: str
    jti: Identifier | UnsetType = UNSET
    nbf: Time | UnsetType = UNSET
    orig: Origin | UnsetType = UNSET
    perms: tuple[str, ...] | UnsetType = UNSET
    role: str | UnsetType = UNSET
    scope: str | UnsetType = UNSET
    sid: Identifier | UnsetType = UNSET
    sub: Identifier

    def clients(self) -> tuple[str, ...]:
        """The token's client and every actor.

        Raises:
            TokenRejected: ``act`` where there are too many.
        """
        client, actor = self.client_id, self.act
        clients: tuple[str, ...] = () if client is UNSET else (client,)
        while actor is not UNSET:
            if len(clients) > MAX_ACTORS:
                raise TokenRejected("act")
            clients += (actor.sub,)
            actor = actor.act
        return clients


_decode = json.Decoder(AccessToken).decode
_encode = json.Encoder().encode
# msgspec names the place of a fault and never its value.
_PLACE = re.compile(r"`(?:\$\.)?([a-z_]{1,16})")


def read(payload: bytes) -> AccessToken:
    """Read the payload of an RFC 9068 token; its jti may be missing.

    A text that the claims known here write again, byte for byte, can hold nothing else: no other
    claim, no name twice, no number that somebody reads otherwise. What our issuer writes is such a
    text; any other takes the way through the strict parser.

    Raises:
        EncodingRejected: the payload is not one strict JSON object.
        TokenRejected: with the name of the claim that is missing or malformed.
    """
    try:
        token = _decode(payload)
        if _encode(token) == payload:
            return token
        token.clients()  # may be too many, however they are written
    except (ValueError, RecursionError):  # the strict parser says what is wrong
        pass
    return from_claims(strict_json.loads_object(payload, MAX_VALUES))


def from_claims(claims: Mapping[str, Any]) -> AccessToken:
    """As :func:`read`, from claims that were parsed strictly.

    Raises:
        TokenRejected: with the name of the claim that is missing or malformed.
    """
    try:
        return convert(claims, AccessToken)
    except ValidationError as fault:
        raise TokenRejected(_claim_at_fault(str(fault))) from None
    except RecursionError:
        raise TokenRejected("act") from None


def _claim_at_fault(message: str) -> str:
    for name in reversed(_PLACE.findall(message)):
        if name in AccessToken.__struct_fields__:
            found: str = name
            return found
    return "claims"
