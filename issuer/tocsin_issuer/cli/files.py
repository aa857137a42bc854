"""The files that operators hand to each other."""

import os
from pathlib import Path

from tocsin_schemas.errors import ConfigurationError


def read_text(path: Path) -> str:
    """Raises ConfigurationError ``file_missing``."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError("file_missing", f"{path}: cannot read it") from None


def write_new(path: Path, text: str) -> None:
    """Nothing is ever overwritten, and nothing readable by others.

    Raises:
        ConfigurationError: ``file_exists`` or ``file_unwritable``.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigurationError("file_exists", f"{path} is there already") from None
    except OSError as error:
        raise ConfigurationError("file_unwritable", f"{path}: {error.strerror}") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
