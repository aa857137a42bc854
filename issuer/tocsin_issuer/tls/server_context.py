"""The TLS side of a listener that asyncio serves: each new connection gets the newest files."""

from __future__ import annotations

import logging
import ssl
from typing import Any

from tocsin_issuer.tls.files import TlsFiles
from tocsin_issuer.tls.material import TlsMaterial
from tocsin_issuer.tls.watch import WatchedTls
from tocsin_schemas.errors import ConfigurationError

_log = logging.getLogger(__name__)


class ReloadingContext(ssl.SSLContext):
    """A context that hands each connection on to one that is made afresh when the files change.

    Loading a certificate into a context in use would leave the rest of it as it was: an authority
    that has been taken out would stay trusted, and a client of its could come back by a session of
    before (RFC 8446 section 2.2), whose certificate nobody looks at again. A new context has none.

    Raises:
        ConfigurationError: as :class:`WatchedTls`.
    """

    _watched: WatchedTls
    _made_of: TlsMaterial
    _made: ssl.SSLContext

    def __new__(cls, watched: WatchedTls) -> ReloadingContext:
        """For asyncio it must be a context itself."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, watched: WatchedTls) -> None:
        self._watched = watched
        self._made_of = watched.current()
        self._made = server_context(watched.files, self._made_of)

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        """From asyncio, for each connection."""
        return self.newest().wrap_bio(*args, **options)

    def newest(self) -> ssl.SSLContext:
        """The context that a connection gets now: another object once the files have changed."""
        found = self._watched.current()
        if found is not self._made_of:
            self._made_of = found
            try:
                self._made = server_context(self._watched.files, found)
            except ConfigurationError as error:
                _log.error("the certificates stay as they were: %s: %s", error.code, error)
        return self._made


def server_context(files: TlsFiles, material: TlsMaterial) -> ssl.SSLContext:
    """TLS 1.2 and 1.3, with the library's own choice of ciphers.

    Raises:
        ConfigurationError: ``tls_unusable`` where OpenSSL takes what was read for no good.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        # Other files than were read, if they have changed since; then they are looked at again.
        context.load_cert_chain(files.certificate, files.key)
        if material.client_ca is not None:
            context.load_verify_locations(cadata=material.client_ca.decode("ascii"))
            context.verify_mode = ssl.CERT_REQUIRED if material.demanded else ssl.CERT_OPTIONAL
    except (OSError, ValueError):  # an SSLError is an OSError
        raise ConfigurationError(
            "tls_unusable", f"{files.certificate} and what goes with it cannot be used"
        ) from None
    return context
