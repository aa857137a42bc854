"""What a client of ours shows and believes when it calls the issuer over TLS."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path

from tocsin_schemas.errors import ConfigurationError

_log = logging.getLogger("tocsin.agent")


@dataclass(frozen=True, slots=True)
class ClientTls:
    """PEM files. ``ca`` holds whom to believe, by default the system's authorities; ``certificate``
    (with its chain) and ``key`` are what to show, and come together.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """A context with what is in the files now.

        Raises:
            ConfigurationError: ``ca_unusable`` or ``client_certificate_unusable``.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except (OSError, ValueError):  # ssl.SSLError is an OSError
            raise ConfigurationError(
                "ca_unusable", f"{self.ca}: not a file of PEM certificates"
            ) from None
        if self.certificate is None and self.key is None:
            return context
        try:
            if self.certificate is None or self.key is None:
                raise ValueError
            context.load_cert_chain(self.certificate, self.key, password=_no_password)
        except (OSError, ValueError):
            raise ConfigurationError(
                "client_certificate_unusable",
                f"{self.certificate} and {self.key}: not a certificate in PEM and its key",
            ) from None
        return context


class CurrentTls:
    """The context of a client that lives long: its certificate may be replaced on the disk.

    Raises:
        ConfigurationError: as :meth:`ClientTls.context`.
    """

    def __init__(self, files: ClientTls) -> None:
        self._files = files
        self._stamp = self._look()
        self.context = files.context()

    def refresh(self) -> bool:
        """Show in the next handshakes what is on the disk now; the last good one where that is bad
        or only half there. Returns whether it is another one than before.
        """
        files, stamp = self._files, self._look()
        if files.certificate is None or stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            files.context()  # a context that takes half of a pair has lost what it had
        except ConfigurationError as error:
            _log.error("the certificate stays as it was: %s: %s", error.code, error)
            return False
        self.context.load_cert_chain(files.certificate, files.key, password=_no_password)
        return True

    def _look(self) -> tuple[int, ...]:
        found: list[int] = []
        for path in (self._files.certificate, self._files.key):
            try:
                found.append(0 if path is None else path.stat().st_mtime_ns)
            except OSError:
                found.append(-1)
        return tuple(found)


def _no_password() -> str:
    """Otherwise OpenSSL would ask on the terminal."""
    raise ValueError
