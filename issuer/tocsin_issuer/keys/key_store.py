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
NEXT_KEK_FILE_VARIABLE = "TOCSIN_NEXT_KEK_FILE"
KEK_NAME = "kek"
NEXT_KEK_NAME = "kek.next"
MIN_KEK_BYTES = 16


def key_encryption_key(folder: DataDir, *, create: bool = False) -> bytes:
    """Read the key-encryption key from the file that ``TOCSIN_KEK_FILE`` names, or beside the keys.

    In production the variable names a mounted secret, so that a copy of the data directory is worth
    nothing; in development the key lies in the directory itself.

    Raises:
        ConfigurationError: ``kek_missing``, ``kek_weak`` or ``secret_file_open``.
    """
    named = os.environ.get(KEK_FILE_VARIABLE)
    if named:
        return read_kek(Path(named))
    text = folder.read_private(KEK_NAME)
    if text is None:
        if not create:
            raise ConfigurationError(
                "kek_missing", f"{folder.path / KEK_NAME}: the key-encryption key is missing"
            )
        text = secrets.token_urlsafe(32)
        folder.write_private(KEK_NAME, text)
    return text.encode()


def next_key_encryption_key(folder: DataDir) -> bytes | None:
    """The key that takes the place of the other one, while that is under way.

    Raises:
        ConfigurationError: as :func:`key_encryption_key`.
    """
    named = os.environ.get(NEXT_KEK_FILE_VARIABLE)
    if named:
        return read_kek(Path(named))
    text = folder.read_private(NEXT_KEK_NAME)
    return None if text is None else text.encode()


def read_kek(path: Path) -> bytes:
    """A key-encryption key from a file of the operator's.

    Raises:
        ConfigurationError: ``kek_missing`` or ``kek_weak``.
    """
    try:
        kek = path.read_bytes().strip()
    except OSError:
        raise ConfigurationError("kek_missing", f"cannot read {path}") from None
    if len(kek) < MIN_KEK_BYTES:
        raise ConfigurationError("kek_weak", f"{path} holds less than {MIN_KEK_BYTES} bytes")
    return kek


class KeyStore:
    """The private keys in one folder, encrypted with one key-encryption key, or with the
    ``following`` one while that takes its place.
    """

    def __init__(self, folder: DataDir, kek: bytes, following: bytes | None = None) -> None:
        self._folder = folder
        self._keks = (kek,) if following is None else (following, kek)

    @property
    def path(self) -> Path:
        """The folder."""
        return self._folder.path

    def save(self, signer: PrivateKeySigner) -> None:
        """Keep a private key, encrypted."""
        pem = signer.private_key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(self._keks[0])
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
        key = self._open(pem)
        if key is None:
            raise ConfigurationError(
                "key_unreadable", f"{self.path / kid}.pem: not readable with this encryption key"
            )
        if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | Ed25519PrivateKey):
            raise ConfigurationError("key_unreadable", f"{self.path / kid}.pem: not a key of ours")
        signer = PrivateKeySigner(key)
        if signer.kid != kid:
            raise ConfigurationError("key_unreadable", f"{self.path / kid}.pem: not that key")
        return signer

    def _open(self, pem: str) -> object | None:
        for kek in self._keks:
            try:
                return load_pem_private_key(pem.encode("ascii"), kek)
            except (ValueError, TypeError):
                continue
        return None

    def kids(self) -> list[str]:
        """The names of the keys that are here."""
        return sorted(path.stem for path in self.path.glob("*.pem"))
