"""The strict compact JWS (RFC 7515, RFC 8725) under tokens and records alike.

One serialization, three algorithms, one key for one kid. Nothing in a header is ever fetched, and
everything that could make two implementations read one text differently is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from cryptography.exceptions import InvalidSignature

from tocsin_schemas import base64url, strict_json
from tocsin_schemas.errors import EncodingRejected, JwsRejected
from tocsin_schemas.jwk import MAX_KID_LENGTH, PublicKey

MAX_HEADER_LENGTH = 1024
MAX_HEADER_VALUES = 64
MAX_JWS_LENGTH = 8192

# Parameters that name a key by themselves, change what is signed, or belong to encryption.
_REFUSED = frozenset(
    [
        "jwk",
        "jku",
        "x5u",
        "x5c",
        "crit",
        "b64",
        "zip",
        "enc",
        "epk",
        "apu",
        "apv",
        "iv",
        "tag",
        "p2s",
        "p2c",
    ]
)


class Signer(Protocol):
    """Signs with one private key, wherever that is kept."""

    @property
    def kid(self) -> str:
        """The RFC 7638 thumbprint of the public key."""
        ...

    @property
    def alg(self) -> str:
        """The JWS algorithm."""
        ...

    def sign(self, data: bytes) -> bytes:
        """Return the JWS signature over ``data``."""
        ...


@dataclass(frozen=True, slots=True)
class Header:
    """A protected header that passed every check; ``members`` holds all of it."""

    kid: str
    alg: str
    typ: str | None
    members: Mapping[str, Any]


class VerifiedJws(NamedTuple):
    """A JWS whose signature is good: the members of its header, and its payload's bytes."""

    header: Mapping[str, Any]
    payload: bytes


def normal_typ(typ: str) -> str:
    """``application/at+jwt`` and ``AT+JWT`` are both ``at+jwt`` (RFC 7515 section 4.1.9)."""
    return typ.lower().removeprefix("application/")


def parse_header(segment: str, default_kid: str | None = None) -> Header:
    """Decode and check one protected header; ``default_kid`` is that of one that names none.

    Raises:
        JwsRejected: ``header``, ``kid`` or ``alg``.
    """
    if len(segment) > MAX_HEADER_LENGTH:
        raise JwsRejected("header")
    try:
        members = strict_json.loads_object(base64url.decode(segment), MAX_HEADER_VALUES)
    except EncodingRejected:
        raise JwsRejected("header") from None
    if not _REFUSED.isdisjoint(members):
        raise JwsRejected("header")
    kid, alg, typ = members.get("kid", default_kid), members.get("alg"), members.get("typ")
    if type(kid) is not str or not 0 < len(kid) <= MAX_KID_LENGTH:
        raise JwsRejected("kid")
    if type(alg) is not str:
        raise JwsRejected("alg")
    if typ is not None and type(typ) is not str:
        raise JwsRejected("header")
    return Header(kid, alg, None if typ is None else normal_typ(typ), members)


def split(text: str, max_length: int = MAX_JWS_LENGTH) -> tuple[str, str, str, str]:
    """Header, payload and signature of a compact JWS, and what is signed: the first two.

    Raises:
        JwsRejected: ``size`` or ``segments``.
    """
    if type(text) is not str or len(text) > max_length:
        raise JwsRejected("size")
    signed, _, signature = text.rpartition(".")
    head, _, body = signed.partition(".")
    if not (head and body and signature) or "." in body:
        raise JwsRejected("segments")
    return head, body, signature, signed


def check_signature(signed: str, signature: str, header: Header, key: PublicKey) -> None:
    """Check one signature over ``signed`` (header, dot, payload).

    Raises:
        JwsRejected: ``alg`` where the header's is not the key's own, or ``signature``.
    """
    if header.alg not in key.algs:
        raise JwsRejected("alg")
    try:
        key.verify(base64url.decode(signature), signed.encode("ascii"))
    except (InvalidSignature, EncodingRejected, UnicodeEncodeError):
        raise JwsRejected("signature") from None


# Few headers are in use at a time; whoever sends others costs us the parsing, and no memory.
_known_header = lru_cache(64)(parse_header)


def verify_signature(
    text: str,
    keys: Mapping[str, PublicKey],
    *,
    typ: str | None = None,
    max_length: int = MAX_JWS_LENGTH,
    default_kid: str | None = None,
) -> Header:
    """As :func:`verify_compact`, for a text whose payload has been read already.

    Raises:
        JwsRejected: ``size``, ``segments``, ``header``, ``kid``, ``alg``, ``typ`` or ``signature``.
    """
    head, _, signature, signed = split(text, max_length)
    header = _known_header(head, default_kid)
    if typ is not None and header.typ != typ:
        raise JwsRejected("typ")
    key = keys.get(header.kid)
    if key is None:
        raise JwsRejected("kid")
    check_signature(signed, signature, header, key)
    return header


def verify_compact(
    text: str,
    keys: Mapping[str, PublicKey],
    *,
    typ: str | None = None,
    max_length: int = MAX_JWS_LENGTH,
    default_kid: str | None = None,
) -> VerifiedJws:
    """Verify a compact JWS against ``keys`` (by kid).

    Args:
        text: the JWS.
        keys: the keys that may have signed it, by kid.
        typ: the one type to accept (without ``application/``), or None for any.
        max_length: the longest text to look at, in characters.
        default_kid: the key of a text that names none; without it, such a text is refused.

    Raises:
        JwsRejected: ``size``, ``segments``, ``header``, ``kid``, ``alg``, ``typ``, ``payload`` or
            ``signature``; always after bounded work.
    """
    header = verify_signature(text, keys, typ=typ, max_length=max_length, default_kid=default_kid)
    try:
        payload = base64url.decode(text.split(".", 2)[1])
    except EncodingRejected:
        raise JwsRejected("payload") from None
    return VerifiedJws(dict(header.members), payload)


def header_segment(signer: Signer, typ: str) -> str:
    """The encoded protected header that ``signer`` writes for statements of type ``typ``."""
    members = {"alg": signer.alg, "kid": signer.kid, "typ": typ}
    return base64url.encode(strict_json.dumps(members))


def sign_compact(payload: Mapping[str, Any], signer: Signer, typ: str) -> str:
    """Sign ``payload`` in canonical JSON as a compact JWS."""
    return sign_bytes(strict_json.dumps(payload), signer, typ)


def sign_bytes(payload: bytes, signer: Signer, typ: str) -> str:
    """Sign a payload's bytes as a compact JWS."""
    signed = f"{header_segment(signer, typ)}.{base64url.encode(payload)}"
    return f"{signed}.{base64url.encode(signer.sign(signed.encode('ascii')))}"
