"""What ours is measured against."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jwk as jose_keys
from joserfc import jwt as jose_jwt

from benchmarks.tokens import AUDIENCE, OLDER_NAMES
from tocsin_issuer.keys.signer import PrivateKeySigner
from tocsin_schemas import base64url

Verify = Callable[[str], object]


def bare(signer: PrivateKeySigner, tokens: Sequence[str]) -> Verify:
    """`public_key.verify` alone; signatures and texts are decoded beforehand."""
    key = signer.private_key.public_key()
    prepared: dict[str, tuple[bytes, bytes]] = {}
    for token in tokens:
        signed, _, signature = token.rpartition(".")
        prepared[token] = (_native(signer.alg, base64url.decode(signature)), signed.encode())
    if isinstance(key, rsa.RSAPublicKey):
        scheme, digest, check = padding.PKCS1v15(), SHA256(), key.verify
        return lambda token: check(*prepared[token], scheme, digest)
    if isinstance(key, ec.EllipticCurvePublicKey):
        algorithm, check_ec = ec.ECDSA(SHA256()), key.verify
        return lambda token: check_ec(*prepared[token], algorithm)
    check_ed = key.verify
    return lambda token: check_ed(*prepared[token])


def _native(alg: str, signature: bytes) -> bytes:
    if alg != "ES256":
        return signature
    return encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))


def pyjwt(signer: PrivateKeySigner, issuer: str) -> Verify:
    """PyJWT, audience and issuer checked."""
    key = signer.private_key.public_key()
    alg = OLDER_NAMES.get(signer.alg, signer.alg)
    return lambda token: jwt.decode(token, key, algorithms=[alg], audience=AUDIENCE, issuer=issuer)


def joserfc(signer: PrivateKeySigner, issuer: str) -> Verify:
    """joserfc, with its claims registry."""
    key = jose_keys.import_key(dict(signer.public.jwk))
    alg = OLDER_NAMES.get(signer.alg, signer.alg)
    registry = jose_jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": issuer}, aud={"essential": True, "value": AUDIENCE}
    )

    def verify(token: str) -> None:
        registry.validate(jose_jwt.decode(token, key, algorithms=[alg]).claims)

    return verify
