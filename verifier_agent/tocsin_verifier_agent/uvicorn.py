"""uvicorn: tells the application which certificate a client has shown, which it does not by itself.

::

    uvicorn orders:app --http tocsin_verifier_agent.uvicorn:TlsHttp \\
        --ws tocsin_verifier_agent.uvicorn:TlsWebSocket --ssl-certfile … --ssl-cert-reqs 1
"""

from __future__ import annotations

import ssl
from asyncio import BaseTransport
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final

from cryptography import x509
from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.protocols.websockets.auto import AutoWebSocketsProtocol

from tocsin_verifier_agent.adapters.lifespan import App, Receive, Scope, Send

_VERSIONS: Final = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}


class _WithTls:
    """Puts the ASGI TLS extension (version 0.2) into the scope of each request of a connection."""

    app: App

    def connection_made(self, transport: BaseTransport) -> None:
        """From asyncio, after the handshake."""
        connection = transport.get_extra_info("ssl_object")
        if connection is not None:
            self.app = _telling(self.app, _extension(connection))
        super().connection_made(transport)  # type: ignore[misc]


class TlsHttp(_WithTls, AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """For ``--http``."""


if AutoWebSocketsProtocol is not None:  # a WebSocket library is installed

    class TlsWebSocket(_WithTls, AutoWebSocketsProtocol):  # type: ignore[misc, valid-type]
        """For ``--ws``."""


def _telling(app: App, extension: dict[str, Any]) -> App:
    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        scope["extensions"] = {**(scope.get("extensions") or {}), "tls": extension}
        await app(scope, receive, send)

    return told


def _extension(connection: ssl.SSLObject) -> dict[str, Any]:
    """The certificate was verified in the handshake, or there is none, or none that can be read."""
    der = connection.getpeercert(binary_form=True)
    chain, name = [], None
    if der is not None:
        with suppress(ValueError):
            name = x509.load_der_x509_certificate(der).subject.rfc4514_string()
            chain = [ssl.DER_cert_to_PEM_cert(der)]
    cipher = connection.cipher()
    return {
        "server_cert": None,
        "client_cert_chain": chain,
        "client_cert_name": name,
        "client_cert_error": None,
        "tls_version": _VERSIONS.get(connection.version() or ""),
        "cipher_suite": None if cipher is None else _suites().get(cipher[0]),
    }


@lru_cache(1)
def _suites() -> dict[str, int]:
    """The number of each cipher suite in the IANA registry, by OpenSSL's name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL")
    return {suite["name"]: suite["id"] & 0xFFFF for suite in context.get_ciphers()}
