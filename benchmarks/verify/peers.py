"""What ours is measured against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jwt
import redis
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jwk as jose_keys
from joserfc import jwt as jose_jwt

from benchmarks.tokens import AUDIENCE, OLDER_NAMES
from benchmarks.verify.timing import Work, fresh
from tocsin_issuer.keys.signer import PrivateKeySigner
from tocsin_schemas import base64url


def bare(signer: PrivateKeySigner) -> Work[tuple[bytes, bytes]]:
    """`public_key.verify` alone; signatures and texts are decoded beforehand."""
    key = signer.private_key.public_key()

    def prepare(tokens: Sequence[str]) -> list[tuple[bytes, bytes]]:
        parts = [token.rpartition(".") for token in tokens]
        return [
            (_native(signer.alg, base64url.decode(signature)), signed.encode())
            for signed, _, signature in parts
        ]

    call: Callable[[tuple[bytes, bytes]], object]
    if isinstance(key, rsa.RSAPublicKey):
        scheme, digest, check = padding.PKCS1v15(), SHA256(), key.verify
        call = lambda pair: check(*pair, scheme, digest)  # noqa: E731
    elif isinstance(key, ec.EllipticCurvePublicKey):
        algorithm, check_ec = ec.ECDSA(SHA256()), key.verify
        call = lambda pair: check_ec(*pair, algorithm)  # noqa: E731
    else:
        check_ed = key.verify
        call = lambda pair: check_ed(*pair)  # noqa: E731
    return Work(call, prepare)


def _native(alg: str, signature: bytes) -> bytes:
    if alg != "ES256":
        return signature
    return encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))


def pyjwt(signer: PrivateKeySigner, issuer: str) -> Work[str]:
    """PyJWT, audience and issuer checked."""
    return Work(_pyjwt(signer, issuer), fresh)


def pyjwt_and_redis(signer: PrivateKeySigner, issuer: str, store: redis.Redis) -> Work[str]:
    """The same, and a denylist in Redis: one EXISTS for each token."""
    verify = _pyjwt(signer, issuer)

    def call(token: str) -> None:
        store.exists("tocsin:denied:" + verify(token)["jti"])

    return Work(call, fresh)


def _pyjwt(signer: PrivateKeySigner, issuer: str) -> Callable[[str], dict[str, Any]]:
    key = signer.private_key.public_key()
    alg = OLDER_NAMES.get(signer.alg, signer.alg)
    return lambda token: jwt.decode(token, key, algorithms=[alg], audience=AUDIENCE, issuer=issuer)


def joserfc(signer: PrivateKeySigner, issuer: str) -> Work[str]:
    """joserfc, with its claims registry."""
    key = jose_keys.import_key(dict(signer.public.jwk))
    alg = OLDER_NAMES.get(signer.alg, signer.alg)
    registry = jose_jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": issuer}, aud={"essential": True, "value": AUDIENCE}
    )

    def verify(token: str) -> None:
        registry.validate(jose_jwt.decode(token, key, algorithms=[alg]).claims)

    return Work(verify, fresh)
