"""Private keys at rest: one encrypted PKCS #8 file a key, named by its thumbprint."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from tocsin_issuer.data_dir import DataDir
from tocsin_issuer.keys.signer import PrivateKeySigner
from tocsin_schemas.errors import ConfigurationError

KEK_FILE_VARIABLE = "TOCSIN_KEK_FILE"
_KEK_NAME = "kek"


def key_encryption_key(folder: DataDir, *, create: bool = False) -> bytes:
    """Read the key-encryption key from the file that ``TOCSIN_KEK_FILE`` names, or beside the keys.

    In production the variable names a mounted secret, so that a copy of the data directory is worth
    nothing; in development the key lies in the directory itself.

    Raises:
        ConfigurationError: ``kek_missing`` or ``secret_file_open``.
    """
    named = os.environ.get(KEK_FILE_VARIABLE)
    if named:
        try:
            return Path(named).read_bytes().strip()
        except OSError:
            raise ConfigurationError(
                "kek_missing", f"{KEK_FILE_VARIABLE}: cannot read {named}"
            ) from None
    text = folder.read_private(_KEK_NAME)
    if text is None:
        if not create:
            raise ConfigurationError(
                "kek_missing", f"{folder.path / _KEK_NAME}: the key-encryption key is missing"
            )
        text = secrets.token_urlsafe(32)
        folder.write_private(_KEK_NAME, text)
    return text.encode()


class KeyStore:
    """The private keys in one folder, encrypted with one key-encryption key."""

    def __init__(self, folder: DataDir, kek: bytes) -> None:
        self._folder = folder
        self._kek = kek

    @property
    def path(self) -> Path:
        """The folder."""
        return self._folder.path

    def save(self, signer: PrivateKeySigner) -> None:
        """Keep a private key, encrypted."""
        pem = signer.private_key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(self._kek)
        )
        self._folder.write_private(f"{signer.kid}.pem", pem.decode("ascii"))

    def load(self, kid: str) -> PrivateKeySigner:
        """Read one key.

        Raises:
            ConfigurationError: ``key_missing``, ``key_unreadable`` (another key-encryption key, or
                another key than its name says), or ``secret_file_open``.
        """
        pem = self._folder.read_private(f"{kid}.pem")
        if pem is None:
            raise ConfigurationError(
                "key_missing", f"{self.path / kid}.pem: the private key is missing"
            )
        try:
            key = load_pem_private_key(pem.encode("ascii"), self._kek)
        except (ValueError, TypeError):
            raise ConfigurationError(
                "key_unreadable", f"{self.path / kid}.pem: not readable with this encryption key"
            ) from None
        if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | Ed25519PrivateKey):
            raise ConfigurationError("key_unreadable", f"{self.path / kid}.pem: not a key of ours")
        signer = PrivateKeySigner(key)
        if signer.kid != kid:
            raise ConfigurationError("key_unreadable", f"{self.path / kid}.pem: not that key")
        return signer

    def kids(self) -> list[str]:
        """The names of the keys that are here."""
        return sorted(path.stem for path in self.path.glob("*.pem"))
