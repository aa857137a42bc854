"""Signing with a private key that is in memory."""

from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from tocsin_schemas import jwk
from tocsin_schemas.errors import KeyRejected
from tocsin_schemas.jwk import PublicKey

AnyPrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | Ed25519PrivateKey
RSA_BITS: Final = 2048


class PrivateKeySigner:
    """A :class:`tocsin_schemas.jws.Signer`. Its kid is the public key's thumbprint."""

    def __init__(self, private_key: AnyPrivateKey) -> None:
        self.private_key = private_key
        self.public: PublicKey = jwk.from_public_key(private_key.public_key())
        self._sign = _signing_function(private_key)

    @property
    def kid(self) -> str:
        """The RFC 7638 thumbprint."""
        return self.public.kid

    @property
    def alg(self) -> str:
        """The JWS algorithm."""
        return self.public.alg

    def sign(self, data: bytes) -> bytes:
        """The JWS signature over ``data``."""
        return self._sign(data)


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


def _signing_function(private_key: AnyPrivateKey) -> Callable[[bytes], bytes]:
    if isinstance(private_key, rsa.RSAPrivateKey):
        scheme, digest, rsa_sign = padding.PKCS1v15(), SHA256(), private_key.sign
        return lambda data: rsa_sign(data, scheme, digest)
    if isinstance(private_key, ec.EllipticCurvePrivateKey):
        ecdsa, ec_sign = ec.ECDSA(SHA256()), private_key.sign

        def sign(data: bytes) -> bytes:
            r, s = decode_dss_signature(ec_sign(data, ecdsa))
            return r.to_bytes(32) + s.to_bytes(32)

        return sign
    return private_key.sign
