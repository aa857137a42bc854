"""The key-encryption key: 256 random bits as text, in base64 or hexadecimal.

It is no passphrase, since nothing makes guesses slow; what is shorter, or other text, is refused.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import Final

from tocsin_issuer.data_dir import DataDir
from tocsin_schemas.errors import ConfigurationError

KEK_FILE_VARIABLE: Final = "TOCSIN_KEK_FILE"
NEXT_KEK_FILE_VARIABLE: Final = "TOCSIN_NEXT_KEK_FILE"
KEK_NAME: Final = "kek"
NEXT_KEK_NAME: Final = "kek.next"
_BYTES: Final = 32
_RANDOM: Final = re.compile(rb"[A-Za-z0-9+/_-]{43,1024}={0,2}")
"""32 bytes are 43 characters of base64, with or without padding; in hexadecimal they are 64."""


def current(folder: DataDir, *, create: bool = False) -> bytes:
    """Read the key-encryption key from the file that ``TOCSIN_KEK_FILE`` names, or beside the keys.

    In production the variable names a mounted secret, so that a copy of the data directory is worth
    nothing; in development the key lies in the directory itself.

    Raises:
        ConfigurationError: ``kek_missing``, ``kek_weak`` or ``secret_file_open``.
    """
    if create and not _named(KEK_FILE_VARIABLE) and folder.read_private(KEK_NAME) is None:
        return draw(folder, KEK_NAME)
    return _checked(to_replace(folder))


def following(folder: DataDir) -> bytes | None:
    """The key that takes the place of the other one, while that is under way.

    Raises:
        ConfigurationError: as :func:`current`.
    """
    named = _named(NEXT_KEK_FILE_VARIABLE)
    if named:
        return read(named)
    text = folder.read_private(NEXT_KEK_NAME)
    return None if text is None else _checked(text.encode())


def to_replace(folder: DataDir) -> bytes:
    """The key-encryption key, which may be as weak as it likes: it is about to go.

    Raises:
        ConfigurationError: ``kek_missing`` or ``secret_file_open``.
    """
    named = _named(KEK_FILE_VARIABLE)
    if named:
        return _read(named)
    text = folder.read_private(KEK_NAME)
    if text is None:
        raise ConfigurationError(
            "kek_missing", f"{folder.path / KEK_NAME}: the key-encryption key is missing"
        )
    return text.encode()


def read(path: Path) -> bytes:
    """A key-encryption key from a file of the operator's.

    Raises:
        ConfigurationError: as :func:`current`.
    """
    return _checked(_read(path))


def draw(folder: DataDir, name: str) -> bytes:
    """Draw a new one, and keep it in the folder."""
    text = secrets.token_urlsafe(_BYTES)
    folder.write_private(name, text)
    return text.encode()


def _named(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value) if value else None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode, kek = os.fstat(file.fileno()).st_mode, file.read().strip()
    except OSError:
        raise ConfigurationError("kek_missing", f"cannot read {path}") from None
    if mode & 0o077:
        raise ConfigurationError("secret_file_open", f"{path}: open to others; chmod 600")
    return kek


def _checked(kek: bytes) -> bytes:
    if not _RANDOM.fullmatch(kek):
        raise ConfigurationError(
            "kek_weak",
            f"the key-encryption key is no {_BYTES} random bytes in base64 or hexadecimal: make a "
            "file with `openssl rand -base64 32`, and run `tocsin keys rekey --new-kek-file` if "
            "there are keys already",
        )
    return kek
