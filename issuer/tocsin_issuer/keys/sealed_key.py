"""A private key at rest, sealed with AES-GCM, which binds what stands beside it.

A passphrase is made slow to guess by scrypt (RFC 7914). A key-encryption key is 256 random bits,
which nobody guesses: there HKDF (RFC 5869) is enough, and an issuer with many keys starts at once.
"""

from __future__ import annotations

import os
from typing import Annotated, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
)
from msgspec import Meta, Struct, ValidationError, convert, structs, to_builtins

from tocsin_issuer.keys.signer import PrivateKeySigner
from tocsin_schemas import base64url, strict_json
from tocsin_schemas.errors import EncodingRejected, KeyRejected

PASSPHRASE_COST: Final = 2**17  # 128 MiB and half a second
_BLOCK: Final = 8


class _Sealed(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
    """A file's members; ``salt``, ``nonce`` and ``sealed`` are base64url."""

    kid: str
    alg: str
    salt: str = ""
    nonce: str = ""
    sealed: str = ""


class ByPassphrase(_Sealed, frozen=True, tag="tocsin-root"):
    """What an operator's root is sealed as."""

    cost: Annotated[int, Meta(ge=2**10, le=2**20)]

    def beside(self) -> bytes:
        """What is bound to the sealed bytes."""
        return strict_json.dumps(["tocsin-root", self.kid, self.alg, self.cost])

    def derived(self, secret: bytes, salt: bytes) -> bytes:
        """The AES key."""
        return Scrypt(salt=salt, length=32, n=self.cost, r=_BLOCK, p=1).derive(secret)


class ByKey(_Sealed, frozen=True, tag="tocsin-key"):
    """What an issuer's keys are sealed as."""

    def beside(self) -> bytes:
        """What is bound to the sealed bytes."""
        return strict_json.dumps(["tocsin-key", self.kid, self.alg])

    def derived(self, secret: bytes, salt: bytes) -> bytes:
        """The AES key."""
        return HKDF(algorithm=SHA256(), length=32, salt=salt, info=b"tocsin-key").derive(secret)


class SealMalformed(ValueError):
    """Not a sealed key, or another one than it says."""


class SealUnopened(ValueError):
    """It does not open with that secret, or has been changed."""


def seal_with_passphrase(signer: PrivateKeySigner, secret: bytes, cost: int) -> str:
    """The text of a file that only the passphrase opens."""
    return _seal(ByPassphrase(kid=signer.kid, alg=signer.alg, cost=cost), signer, secret)


def seal_with_key(signer: PrivateKeySigner, kek: bytes) -> str:
    """The text of a file that only the key-encryption key opens."""
    return _seal(ByKey(kid=signer.kid, alg=signer.alg), signer, kek)


def unseal(text: str, secret: bytes) -> PrivateKeySigner:
    """The key in a file of either form, or in an encrypted PKCS #8 of an older version.

    Raises:
        SealMalformed: see there.
        SealUnopened: see there.
    """
    try:
        if text.startswith("-----BEGIN "):
            return _signer(load_pem_private_key(text.encode("ascii"), secret))
        found = convert(strict_json.loads_object(text.encode()), ByPassphrase | ByKey)
        salt, nonce, sealed = map(base64url.decode, (found.salt, found.nonce, found.sealed))
        private = AESGCM(found.derived(secret, salt)).decrypt(nonce, sealed, found.beside())
        signer = _signer(load_der_private_key(private, None))
    except (ValidationError, EncodingRejected, UnicodeEncodeError):
        raise SealMalformed("not a sealed key") from None
    except SealMalformed:
        raise
    except (InvalidTag, ValueError, TypeError):
        raise SealUnopened("it does not open") from None
    if signer.kid != found.kid:
        raise SealMalformed("the file holds another key")
    return signer


def _seal(empty: ByPassphrase | ByKey, signer: PrivateKeySigner, secret: bytes) -> str:
    salt, nonce = os.urandom(16), os.urandom(12)
    private = signer.private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    sealed = AESGCM(empty.derived(secret, salt)).encrypt(nonce, private, empty.beside())
    whole = structs.replace(
        empty,
        salt=base64url.encode(salt),
        nonce=base64url.encode(nonce),
        sealed=base64url.encode(sealed),
    )
    return strict_json.dumps(to_builtins(whole)).decode() + "\n"


def _signer(private: object) -> PrivateKeySigner:
    if not isinstance(private, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | Ed25519PrivateKey):
        raise SealMalformed("not RSA, P-256 or Ed25519")
    try:
        return PrivateKeySigner(private)
    except KeyRejected:
        raise SealMalformed("a key that is not used here") from None
