"""The contents of a listener's certificate files, read and checked as one."""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from tocsin_issuer.tls.files import TlsFiles
from tocsin_schemas.errors import ConfigurationError

MAX_FILE_BYTES: Final = 1024 * 1024
_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"
_OPEN: Final = stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class TlsMaterial:
    """PEM texts that belong together.

    ``client_ca`` is None where clients show no certificates; ``demanded`` says whether each must.
    ``not_before`` and ``not_after`` are when the certificate holds, in seconds of UTC.
    """

    certificate_chain: bytes
    private_key: bytes = field(repr=False)
    client_ca: bytes | None
    demanded: bool
    not_before: float
    not_after: float

    def check_dates(self, now: float) -> None:
        """Whether the certificate holds at ``now``, in seconds of UTC.

        Raises:
            ConfigurationError: ``tls_certificate_expired`` or ``tls_certificate_not_yet_valid``.
        """
        if now > self.not_after:
            raise ConfigurationError("tls_certificate_expired", "the certificate has expired")
        if now < self.not_before:
            raise ConfigurationError(
                "tls_certificate_not_yet_valid", "the certificate does not hold yet"
            )


def load(files: TlsFiles) -> TlsMaterial:
    """Read the files and check that they fit together. Dates are not looked at: an issuer whose
    certificate has run out must still keep the ledger going.

    Raises:
        ConfigurationError: ``tls_file_unreadable``, ``tls_key_open``,
            ``tls_certificate_malformed``, ``tls_key_malformed``, ``tls_key_mismatch`` or
            ``tls_client_ca_malformed``; the message names the file, and nothing that is in it.
    """
    chain, key = _read(files.certificate), _read(files.key, private=True)
    leaf = _certificates(chain, files.certificate, "tls_certificate_malformed")[0]
    if _public_key_of(key, files.key) != leaf.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    ):
        raise ConfigurationError(
            "tls_key_mismatch", f"{files.key}: not the key of {files.certificate}"
        )
    client_ca = None
    if files.client_ca is not None:
        text = _read(files.client_ca)
        found = _certificates(text, files.client_ca, "tls_client_ca_malformed")
        # Without what people write between them, in whatever alphabet.
        client_ca = b"".join(one.public_bytes(Encoding.PEM) for one in found)
    return TlsMaterial(
        chain,
        key,
        client_ca,
        demanded=client_ca is not None and files.client_certificate == "required",
        not_before=leaf.not_valid_before_utc.timestamp(),
        not_after=leaf.not_valid_after_utc.timestamp(),
    )


def _read(path: Path, *, private: bool = False) -> bytes:
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # to open a pipe could take for ever
            raise OSError(0, "not a file")
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigurationError("tls_file_unreadable", f"{path}: {error.strerror}") from None
    if len(text) > MAX_FILE_BYTES:
        raise ConfigurationError("tls_file_unreadable", f"{path}: too large")
    if private and mode & _OPEN:
        raise ConfigurationError("tls_key_open", f"{path}: open to others; chmod 600")
    return text


def _certificates(text: bytes, path: Path, code: str) -> list[x509.Certificate]:
    """All of them: of a file that is still being written, one would be left out in silence."""
    try:
        found = x509.load_pem_x509_certificates(text)
        for certificate in found:
            certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigurationError(code, f"{path}: not PEM certificates") from None
    if len(found) != text.count(_BEGIN):
        raise ConfigurationError(code, f"{path}: not whole")
    return found


def _public_key_of(text: bytes, path: Path) -> bytes:
    try:
        key = load_pem_private_key(text, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # a TypeError: it has a password
        raise ConfigurationError(
            "tls_key_malformed", f"{path}: not a private key in PEM without a password"
        ) from None
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
