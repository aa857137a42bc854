"""The certificate that a client has shown, as servers tell of it; never by a header of its own."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding


def of_scope(scope: Mapping[str, Any]) -> bytes | None:
    """By the ASGI TLS extension, in DER; uvicorn has it with `tocsin_verifier_agent.uvicorn`.

    None where the server knows none, or let the client in although its certificate did not hold.
    """
    told = (scope.get("extensions") or {}).get("tls")
    if told is None or told.get("client_cert_error") is not None:
        return None
    for first in told.get("client_cert_chain") or ():
        return of_pem(first)
    return None


def of_environ(environ: Mapping[str, Any]) -> bytes | None:
    """By a WSGI server, in DER: the variable that mod_ssl (with `ExportCertData`) and Werkzeug set,
    or gunicorn's connection. A client's headers have other names, which begin with `HTTP_`.
    """
    text = environ.get("SSL_CLIENT_CERT")
    if text:
        return of_pem(text)
    connection = environ.get("gunicorn.socket")
    if isinstance(connection, ssl.SSLSocket):
        return connection.getpeercert(binary_form=True)
    return None


def of_grpc(context: Any) -> bytes | None:
    """By a gRPC server with TLS credentials, in DER."""
    for text in context.auth_context().get("x509_pem_cert", ()):
        return of_pem(text.decode("ascii"))
    return None


@lru_cache(256)
def of_pem(text: str) -> bytes | None:
    """The DER of the one certificate in a PEM text, or None. All requests of a connection come with
    the same text.
    """
    try:
        (found,) = x509.load_pem_x509_certificates(text.encode())
    except ValueError:  # none, several, or nonsense
        return None
    return found.public_bytes(Encoding.DER)
