"""Whom a client of the issuer believes, and what it shows: PEM files."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from tocsin_revocation_bus.jetstream.connection import check_credentials
from tocsin_schemas.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class ClientTls:
    """``ca`` holds the authorities to believe, in place of the machine's own; ``certificate`` is
    the client's own with its chain, and ``key`` its private key, closed to others.

    Raises:
        ConfigurationError: ``certificate_unusable`` where only one of the two is given.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) is not (self.key is None):
            raise ConfigurationError("certificate_unusable", "certificate and key go together")


def context_of(tls: ClientTls) -> ssl.SSLContext | None:
    """What to speak TLS with; None for the machine's own authorities and no certificate.

    Raises:
        ConfigurationError: ``ca_unusable``, ``certificate_unusable``, ``credentials_missing`` or
            ``credentials_mode``.
    """
    if tls == ClientTls():
        return None
    try:
        context = ssl.create_default_context(cafile=None if tls.ca is None else str(tls.ca))
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        raise ConfigurationError(
            "ca_unusable", f"{tls.ca}: not a file of PEM certificates"
        ) from None
    if tls.certificate is not None and tls.key is not None:
        check_credentials(tls.key)
        try:
            context.load_cert_chain(str(tls.certificate), str(tls.key), password=_no_password)
        except (OSError, ValueError):
            raise ConfigurationError(
                "certificate_unusable", f"{tls.certificate}: not a certificate of {tls.key}"
            ) from None
    return context


def _no_password() -> str:
    """OpenSSL would ask on the terminal."""
    raise ValueError("the key has a password")
