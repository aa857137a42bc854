"""A root key in a file of its operator's, sealed with a passphrase or with a key file's bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tocsin_issuer.keys import sealed_key
from tocsin_issuer.keys.sealed_key import PASSPHRASE_COST, SealMalformed, SealUnopened
from tocsin_issuer.keys.signer import PrivateKeySigner
from tocsin_schemas.errors import ConfigurationError

MIN_SECRET_LENGTH: Final = 12
_MAX_BYTES: Final = 16 * 1024


def seal(signer: PrivateKeySigner, secret: bytes, cost: int = PASSPHRASE_COST) -> str:
    """The text of a root file.

    Raises:
        ConfigurationError: ``secret_weak``.
    """
    if len(secret) < MIN_SECRET_LENGTH:
        raise ConfigurationError(
            "secret_weak", f"a root's passphrase has at least {MIN_SECRET_LENGTH} characters"
        )
    return sealed_key.seal_with_passphrase(signer, secret, cost)


def unseal(text: str, secret: bytes) -> PrivateKeySigner:
    """The root key. A root of `tocsin issuer init`, whose secret is the key-encryption key, can be
    read as well.

    Raises:
        ConfigurationError: ``root_malformed``, or ``root_unreadable`` with another secret.
    """
    try:
        return sealed_key.unseal(text, secret)
    except SealMalformed as error:
        raise ConfigurationError("root_malformed", f"not a root file: {error}") from None
    except SealUnopened:
        raise ConfigurationError("root_unreadable", "the root does not open with this") from None


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
