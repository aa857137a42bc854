"""A WSGI application with an issuer of its own, for servers that load it by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tocsin_verifier_agent import wsgi
from tocsin_verifier_agent.testing import LocalIssuer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ISSUER = LocalIssuer()


def _app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """`/mint` is open to all: a token bound to the certificate whose thumbprint is in the query."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/mint":
        return [ISSUER.mint(cnf={"x5t#S256": environ["QUERY_STRING"]}).encode()]
    return [b"served"]


app = wsgi.TocsinMiddleware(_app, agent=ISSUER.agent, public_paths=["/mint"], start_agent=False)
