"""Signing with a private key that is in memory."""

from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from tocsin_schemas import jwk
from tocsin_schemas.jwk import PublicKey

AnyPrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | Ed25519PrivateKey


class PrivateKeySigner:
    """A :class:`tocsin_schemas.jws.Signer`. Its kid is the public key's thumbprint.

    Raises:
        KeyRejected: the public half is weak, or of a kind that is not used here.
    """

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
