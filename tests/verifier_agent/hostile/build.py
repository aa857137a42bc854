"""How hostile tokens are built: good ones first, then with one thing wrong."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.forge import b64, header_of, octets, seal, seal_text, token
from tests.support.keys import public_jwk, signer
from tests.support.tokens import claims
from tocsin_issuer.keys.signer import PrivateKeySigner

RSA = signer("RS256", "token")
EC = signer("ES256", "token")
ED = signer("Ed25519", "token")
THIEF = signer("ES256", "thief")
JWKS = {"keys": [public_jwk(RSA), public_jwk(EC), public_jwk(ED)]}
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493

Builder = Callable[[], Any]


class _MainKey:
    """The key that signs a row where its kind does not matter: Ed25519, unless told otherwise."""

    def __init__(self, key: PrivateKeySigner) -> None:
        self.key = key

    @property
    def kid(self) -> str:
        return self.key.kid

    @property
    def alg(self) -> str:
        return self.key.alg

    def sign(self, data: bytes) -> bytes:
        return self.key.sign(data)


MAIN = _MainKey(ED)


def good(**changes: Any) -> str:
    return token(MAIN, claims(**changes))


def headed(**header: Any) -> str:
    """Good claims and a good signature under a bad header."""
    return token(MAIN, claims(), **header)


def raw_header(text: str | bytes) -> str:
    return seal(text, claims(), MAIN.sign)


def raw_payload(text: str | bytes) -> str:
    return seal(header_of(MAIN), text, MAIN.sign)


def payload_with(member: str) -> str:
    """Good claims with one member more, in front, written by hand."""
    return raw_payload("{" + member + "," + json.dumps(claims())[1:])


def header_with(member: str) -> str:
    return raw_header("{" + member + "," + json.dumps(header_of(MAIN))[1:])


def claim_text(name: str, text: str) -> str:
    """Good claims, but one of them has a value written by hand."""
    members = {**claims(), name: "@@"}
    return raw_payload(json.dumps(members).replace('"@@"', text))


def hs(key: bytes, alg: str = "HS256", kid: str = RSA.kid) -> str:
    digest = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}[alg]
    return seal(
        {"alg": alg, "kid": kid, "typ": "at+jwt"},
        claims(),
        lambda data: hmac.digest(key, data, digest),
    )


def rsa_public(encoding: Encoding, form: PublicFormat) -> bytes:
    key = RSA.private_key
    assert isinstance(key, rsa.RSAPrivateKey)
    return key.public_key().public_bytes(encoding, form)


def pem() -> bytes:
    return rsa_public(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def unsigned(**header: Any) -> str:
    return f"{b64(octets(header_of(MAIN, **header)))}.{b64(octets(claims()))}."


def es_signed(alter: Callable[[int, int], bytes]) -> str:
    """A token whose good ECDSA signature was rewritten."""

    def sign(data: bytes) -> bytes:
        raw = EC.sign(data)
        return alter(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))

    return seal(header_of(EC), claims(), sign)


def pair(r: int, s: int) -> bytes:
    return r.to_bytes(32) + s.to_bytes(32)


def der_signed() -> str:
    key = EC.private_key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return seal(header_of(EC), claims(), lambda data: key.sign(data, ec.ECDSA(SHA256())))


@cache
def curve_key(curve: ec.EllipticCurve) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve)


def other_curve(curve: ec.EllipticCurve, alg: str, size: int) -> str:
    def sign(data: bytes) -> bytes:
        r, s = decode_dss_signature(curve_key(curve).sign(data, ec.ECDSA(SHA256())))
        return r.to_bytes(size) + s.to_bytes(size)

    return seal(header_of(EC, alg=alg), claims(), sign)


def ed_signed(alter: Callable[[bytes], bytes]) -> str:
    return seal(header_of(ED), claims(), lambda data: alter(ED.sign(data)))


def ed_malleable(signature: bytes) -> bytes:
    s = int.from_bytes(signature[32:], "little") + ED25519_ORDER
    return signature[:32] + s.to_bytes(32, "little")


def rsa_signed(alter: Callable[[bytes], bytes]) -> str:
    return seal(header_of(RSA), claims(), lambda data: alter(RSA.sign(data)))


def rsa_other(alg: str, pad: Any, digest: Any) -> str:
    key = RSA.private_key
    assert isinstance(key, rsa.RSAPrivateKey)
    return seal(header_of(RSA, alg=alg), claims(), lambda data: key.sign(data, pad, digest))


def with_trailing_bits(segment: str) -> str:
    """The same bytes in base64 that another decoder would also read, but that nobody writes."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(segment) % 4, "no spare bits"
    return segment[:-1] + alphabet[alphabet.index(segment[-1]) | 1]


def spare_bits(part: dict[str, Any]) -> str:
    """The encoded part, padded until it has spare bits."""
    text = octets(part)
    return b64(text if len(text) % 3 else text + b" ")


def head() -> str:
    return spare_bits(header_of(MAIN))


def body() -> str:
    return spare_bits(claims())


def altered(place: int, alter: Callable[[str], str]) -> str:
    """A good token with one of its segments rewritten after signing."""
    segments = seal_text(head(), body(), MAIN.sign).split(".")
    segments[place] = alter(segments[place])
    return ".".join(segments)


def pad_to(length: int) -> str:
    """A good token of exactly that length, through a long private claim."""
    short = len(seal(header_of(MAIN), claims(filler=""), MAIN.sign))
    for filler in range((length - short) * 3 // 4 - 4, (length - short) * 3 // 4 + 8):
        text = seal(header_of(MAIN), claims(filler="x" * filler), MAIN.sign)
        if len(text) >= length:
            return text
    raise AssertionError(length)


def nest(depth: int, inner: str = "") -> str:
    return "[" * depth + inner + "]" * depth


def json_serialization(**changes: Any) -> str:
    header, payload, signature = good().split(".")
    members: dict[str, Any] = {
        "payload": payload,
        "signatures": [{"protected": header, "signature": signature}],
        **changes,
    }
    return json.dumps(members)


def nested_actors(depth: int) -> str:
    actor: dict[str, Any] = {"sub": "a"}
    for _ in range(depth):
        actor = {"sub": "a", "act": actor}
    return good(act=actor)


def random_kid(number: int) -> str:
    return token(THIEF, claims(), kid=hashlib.sha256(str(number).encode()).hexdigest())


def pss() -> padding.PSS:
    return padding.PSS(padding.MGF1(SHA256()), 32)


def standard_alphabet(place: int) -> str:
    """A token with one segment in the other alphabet, of which at least one character differs."""
    texts = (good(filler=f"\u00ff\u00fe?>~{number}").split(".") for number in range(200))
    segments = next(text for text in texts if set("-_") & set(text[place]))
    changed = segments[place].replace("-", "+").replace("_", "/")
    if place == 2:
        return ".".join([*segments[:2], changed])
    return seal_text(segments[0], changed, MAIN.sign)
