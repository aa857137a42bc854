"""Who signs a token, how, and what becomes of the signature."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.keys import public_jwk, signer
from tests.verifier_agent.fuzz.layers import cut, flip, put

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493

# --- who signs, and how ---------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _sign_once(alg: str, name: str, signed: bytes) -> bytes:
    return signer(alg, name).sign(signed)


def _hmac(signed: bytes, digest: str, form: str) -> bytes:
    return hmac.digest(_public_forms()[form], signed, digest)


@lru_cache(maxsize=1)
def _public_forms() -> dict[str, bytes]:
    """Our RSA key in every form that somebody might take for a shared secret."""
    key = signer("RS256", "token")
    assert isinstance(key.private_key, rsa.RSAPrivateKey)
    public = key.private_key.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    jwk = public_jwk(key)
    return {
        "empty": b"",
        "short": b"secret",
        "pem": pem,
        "crlf": pem.replace(b"\n", b"\r\n"),
        "pkcs1": public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        "der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "ssh": public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        "jwk": json.dumps(jwk).encode(),
        "jwks": json.dumps({"keys": [jwk]}).encode(),
    }


def _rsa(signed: bytes, how: str) -> bytes:
    key = signer("RS256", "token").private_key
    assert isinstance(key, rsa.RSAPrivateKey)
    if how == "pss":
        return key.sign(signed, padding.PSS(padding.MGF1(SHA256()), 32), SHA256())
    return key.sign(signed, padding.PKCS1v15(), {"sha384": SHA384(), "sha512": SHA512()}[how])


@lru_cache(maxsize=2)
def _curve_key(name: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key({"P-384": ec.SECP384R1(), "secp256k1": ec.SECP256K1()}[name])


def _other_curve(signed: bytes, name: str, size: int) -> bytes:
    r, s = decode_dss_signature(_curve_key(name).sign(signed, ec.ECDSA(SHA256())))
    return r.to_bytes(size) + s.to_bytes(size)


def _der(signed: bytes) -> bytes:
    key = signer("ES256", "token").private_key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key.sign(signed, ec.ECDSA(SHA256()))


SIGN: dict[str, Callable[..., bytes]] = {
    "key": lambda signed, alg: _sign_once(alg, "token", signed),
    "thief": lambda signed, alg: _sign_once(alg, "thief", signed),
    "other text": lambda signed, alg: _sign_once(alg, "token", signed + b" "),
    "hmac": _hmac,
    "nobody": lambda signed: b"",
    "rsa": _rsa,
    "curve": _other_curve,
    "der": _der,
}

# --- the signature's bytes --------------------------------------------------------------------


def _halves(signature: bytes) -> tuple[int, int]:
    return int.from_bytes(signature[:32]), int.from_bytes(signature[32:64])


def _pair(r: int, s: int) -> bytes:
    return (r % 2**256).to_bytes(32) + (s % 2**256).to_bytes(32)


def _negative_s(signature: bytes) -> bytes:
    """The other good ECDSA signature: s and n − s both verify."""
    r, s = _halves(signature)
    return _pair(r, P256_ORDER - s) if len(signature) == 64 else signature


def _half(signature: bytes, which: str, value: str) -> bytes:
    r, s = _halves(signature)
    number = {"zero": 0, "order": P256_ORDER, "one": 1, "ones": 2**256 - 1}[value]
    return _pair(number, s) if which == "r" else _pair(r, number)


def _plus_order(signature: bytes) -> bytes:
    s = int.from_bytes(signature[32:], "little") + ED25519_ORDER
    return signature[:32] + (s % 2**256).to_bytes(32, "little")


SIGNATURE: dict[str, Callable[..., bytes]] = {
    "put": put, "cut": cut, "flip": flip,
    "negative s": _negative_s,
    "half": _half,
    "swap": lambda signature: signature[32:] + signature[:32],
    "plus order": _plus_order,
    "zeros": lambda signature: bytes(len(signature)),
    "hexadecimal": lambda signature: signature.hex().encode(),
}  # fmt: skip
