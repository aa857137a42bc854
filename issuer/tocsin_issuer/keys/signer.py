"""New private keys, and what signs with them."""

from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tocsin_schemas.errors import KeyRejected
from tocsin_schemas.private_key import PrivateKeySigner

__all__ = ["RSA_BITS", "PrivateKeySigner", "generate"]

RSA_BITS: Final = 2048


def generate(alg: str) -> PrivateKeySigner:
    """Make a new key for ``RS256``, ``ES256`` or ``Ed25519``.

    Raises:
        KeyRejected: ``key_unsupported``.
    """
    match alg:
        case "RS256":
            return PrivateKeySigner(rsa.generate_private_key(65537, RSA_BITS))
        case "ES256":
            return PrivateKeySigner(ec.generate_private_key(ec.SECP256R1()))
        case "Ed25519":
            return PrivateKeySigner(Ed25519PrivateKey.generate())
        case _:
            raise KeyRejected("key_unsupported", "the algorithm is RS256, ES256 or Ed25519")
