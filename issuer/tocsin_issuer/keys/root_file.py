"""A root key in a file of its operator's, sealed with a passphrase or with the bytes of a key file.

scrypt (RFC 7914) makes guessing a passphrase slow, AES-GCM seals the key and binds what stands
beside it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
)
from msgspec import Meta, Struct, ValidationError, convert, to_builtins

from tocsin_issuer.keys.signer import PrivateKeySigner
from tocsin_schemas import base64url, strict_json
from tocsin_schemas.errors import ConfigurationError, EncodingRejected

MIN_SECRET_LENGTH: Final = 12
_COST: Final = 2**17  # 128 MiB and half a second
_BLOCK: Final = 8
_MAX_BYTES: Final = 16 * 1024


class SealedRoot(Struct, frozen=True, forbid_unknown_fields=True):
    """The file's members; ``salt``, ``nonce`` and ``sealed`` are base64url."""

    kind: Literal["tocsin-root"]
    kid: str
    alg: str
    cost: Annotated[int, Meta(ge=2**10, le=2**20)]
    salt: str
    nonce: str
    sealed: str

    def beside(self) -> bytes:
        """What is bound to the sealed bytes."""
        return strict_json.dumps([self.kind, self.kid, self.alg, self.cost])


def seal(signer: PrivateKeySigner, secret: bytes, cost: int = _COST) -> str:
    """The text of a root file.

    Raises:
        ConfigurationError: ``secret_weak``.
    """
    if len(secret) < MIN_SECRET_LENGTH:
        raise ConfigurationError(
            "secret_weak", f"a root's passphrase has at least {MIN_SECRET_LENGTH} characters"
        )
    salt, nonce = os.urandom(16), os.urandom(12)
    private = signer.private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    empty = SealedRoot("tocsin-root", signer.kid, signer.alg, cost, "", "", "")
    sealed = AESGCM(_key(secret, salt, cost)).encrypt(nonce, private, empty.beside())
    whole = SealedRoot(
        empty.kind,
        empty.kid,
        empty.alg,
        cost,
        base64url.encode(salt),
        base64url.encode(nonce),
        base64url.encode(sealed),
    )
    return strict_json.dumps(to_builtins(whole)).decode() + "\n"


def unseal(text: str, secret: bytes) -> PrivateKeySigner:
    """The root key. A PEM file of `tocsin issuer init`, whose secret is the key-encryption key, can
    be read as well.

    Raises:
        ConfigurationError: ``root_malformed``, or ``root_unreadable`` with another secret.
    """
    try:
        if text.startswith("-----BEGIN "):
            return _signer(load_pem_private_key(text.encode("ascii"), secret))
        root = convert(strict_json.loads_object(text.encode()), SealedRoot)
        salt, nonce, sealed = map(base64url.decode, (root.salt, root.nonce, root.sealed))
        private = AESGCM(_key(secret, salt, root.cost)).decrypt(nonce, sealed, root.beside())
        signer = _signer(load_der_private_key(private, None))
    except (ValidationError, EncodingRejected, UnicodeEncodeError):
        raise ConfigurationError("root_malformed", "not a root file") from None
    except (InvalidTag, ValueError, TypeError):
        raise ConfigurationError("root_unreadable", "the root does not open with this") from None
    if signer.kid != root.kid:
        raise ConfigurationError("root_malformed", "the root file holds another key")
    return signer


def read(path: Path, secret: bytes) -> PrivateKeySigner:
    """Read a root file.

    Raises:
        ConfigurationError: ``file_missing``, and as :func:`unseal`.
    """
    try:
        with path.open(encoding="ascii") as file:
            text = file.read(_MAX_BYTES)
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError("file_missing", f"{path}: cannot read it") from None
    return unseal(text, secret)


def _key(secret: bytes, salt: bytes, cost: int) -> bytes:
    return Scrypt(salt=salt, length=32, n=cost, r=_BLOCK, p=1).derive(secret)


def _signer(private: object) -> PrivateKeySigner:
    if not isinstance(private, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | Ed25519PrivateKey):
        raise ConfigurationError("root_malformed", "the root is not RSA, P-256 or Ed25519")
    return PrivateKeySigner(private)
