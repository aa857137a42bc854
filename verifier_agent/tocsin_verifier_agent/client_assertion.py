"""What a client of ours signs when it calls the issuer, in place of showing a secret:
``private_key_jwt`` (RFC 7523 section 2.2). Whoever sees it cannot use it again.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tocsin_revocation_bus.clocks import wall_clock
from tocsin_revocation_bus.jetstream.connection import check_credentials
from tocsin_schemas import jws
from tocsin_schemas.client_assertion import ASSERTION_TYP, ASSERTION_TYPE
from tocsin_schemas.errors import ConfigurationError, KeyRejected
from tocsin_schemas.private_key import PrivateKeySigner

LIFE_S: Final = 60
MAX_KEY_BYTES: Final = 32 * 1024
_log = logging.getLogger("tocsin.agent")


class ClientAssertions:
    """Signs one for each request, with the private key in a PEM file that is closed to others
    (mode 600). RS256, ES256 or Ed25519, as the key is; it is known by its RFC 7638 thumbprint.

    The file is looked at each time: a new key counts from the next request, and the last good one
    outlives a bad file. ``wall_clock`` is in seconds of UTC.

    Args:
        path: the key.
        client_id: who asks.
        issuer: the one ``aud``: the issuer by its name.

    Raises:
        ConfigurationError: ``credentials_missing``, ``credentials_mode``, or
            ``assertion_key_unusable`` for what is no unencrypted private key in PEM, or a weak one.
    """

    def __init__(
        self,
        path: Path,
        *,
        client_id: str,
        issuer: str,
        wall_clock: Callable[[], float] = wall_clock,
    ) -> None:
        self._path = path
        self._client_id = client_id
        self._issuer = issuer
        self._wall_clock = wall_clock
        self._stamp = self._look()
        self._signer = self._load()

    def parameters(self) -> dict[str, str]:
        """A new one, by the names that it has in a form (RFC 7521 section 4.2). It is used once."""
        self._refresh()
        now = int(self._wall_clock())
        claims: dict[str, Any] = {
            "iss": self._client_id,
            "sub": self._client_id,
            "aud": self._issuer,
            "iat": now,
            "exp": now + LIFE_S,
            "jti": secrets.token_urlsafe(16),
        }
        return {
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": jws.sign_compact(claims, self._signer, ASSERTION_TYP),
        }

    def _refresh(self) -> None:
        stamp = self._look()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._signer = self._load()
        except ConfigurationError as error:
            _log.error("the assertion key stays as it was: %s: %s", error.code, error)

    def _look(self) -> tuple[int, ...]:
        try:
            status = self._path.stat()
        except OSError:
            return ()
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _load(self) -> PrivateKeySigner:
        check_credentials(self._path)
        try:
            with self._path.open("rb") as file:
                text = file.read(MAX_KEY_BYTES)
            key: Any = load_pem_private_key(text, None)
            return PrivateKeySigner(key)
        # A TypeError: it is encrypted.
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm, KeyRejected):
            raise ConfigurationError(
                "assertion_key_unusable",
                f"{self._path}: not the private key of RS256, ES256 or Ed25519, unencrypted in PEM",
            ) from None
