"""Private keys at rest: one sealed file a key, named by its thumbprint."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tocsin_issuer.data_dir import DataDir
from tocsin_issuer.keys import sealed_key
from tocsin_issuer.keys.sealed_key import SealMalformed, SealUnopened
from tocsin_issuer.keys.signer import PrivateKeySigner
from tocsin_schemas.errors import ConfigurationError

SUFFIX: Final = ".key"
OLDER_SUFFIX: Final = ".pem"
"""Of files that an older version has encrypted; `tocsin keys rekey` seals them anew."""


class KeyStore:
    """The private keys in one folder, sealed with one key-encryption key, or with the ``following``
    one while that takes its place.
    """

    def __init__(self, folder: DataDir, kek: bytes, following: bytes | None = None) -> None:
        self._folder = folder
        self._keks = (kek,) if following is None else (following, kek)

    @property
    def path(self) -> Path:
        """The folder."""
        return self._folder.path

    def save(self, signer: PrivateKeySigner) -> None:
        """Keep a private key, sealed."""
        text = sealed_key.seal_with_key(signer, self._keks[0])
        self._folder.write_private(f"{signer.kid}{SUFFIX}", text)

    def load(self, kid: str) -> PrivateKeySigner:
        """Read one key.

        Raises:
            ConfigurationError: ``key_missing``, ``key_unreadable`` (another key-encryption key, or
                another key than its name says), or ``secret_file_open``.
        """
        name = f"{self.path / kid}{SUFFIX}"
        text = self._folder.read_private(f"{kid}{SUFFIX}")
        if text is None:
            text = self._folder.read_private(f"{kid}{OLDER_SUFFIX}")
        if text is None:
            raise ConfigurationError("key_missing", f"{name}: the private key is missing")
        signer = self._open(text, name)
        if signer.kid != kid:
            raise ConfigurationError("key_unreadable", f"{name}: not that key")
        return signer

    def _open(self, text: str, name: str) -> PrivateKeySigner:
        for kek in self._keks:
            try:
                return sealed_key.unseal(text, kek)
            except SealMalformed as error:
                raise ConfigurationError("key_unreadable", f"{name}: {error}") from None
            except SealUnopened:
                continue
        raise ConfigurationError("key_unreadable", f"{name}: not readable with this encryption key")

    def kids(self) -> list[str]:
        """The names of the keys that are here."""
        found = (path for path in self.path.glob("*") if path.suffix in (SUFFIX, OLDER_SUFFIX))
        return sorted({path.stem for path in found})
