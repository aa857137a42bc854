"""Keys, each generated once in a process: an RSA key takes as long as a thousand of our checks."""

from functools import cache

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tocsin_issuer.keys.signer import PrivateKeySigner, generate


@cache
def signer(alg: str, name: str = "") -> PrivateKeySigner:
    """The key of that algorithm and name, always the same one."""
    return generate(alg)


@cache
def private_pem(key: PrivateKeySigner) -> bytes:
    return key.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_jwk(key: PrivateKeySigner, **members: str) -> dict[str, str]:
    """The key's JWK with its kid, as it stands in a JWK Set."""
    return {**key.public.jwk, "kid": key.kid, "use": "sig", **members}
