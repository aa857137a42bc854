"""WSGI applications that test servers load by name, with the agent that TOCSIN_FILE asks for."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from tocsin_verifier_agent import wsgi

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def _wsgi(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "application/json")])
    if environ["PATH_INFO"] == "/orders/feed":
        return _ticks()
    return [b'{"worker": %d}' % os.getpid()]


def _ticks() -> Iterator[bytes]:
    while True:
        yield b"tick\n"
        time.sleep(0.05)


def __getattr__(name: str) -> Any:
    """Made when a server asks for it: each reads a file."""
    if name == "wsgi_app":
        return wsgi.TocsinMiddleware(_wsgi)
    if name == "wsgi_app_started_at_once":
        return _started(wsgi.TocsinMiddleware(_wsgi))
    raise AttributeError(name)


def _started(middleware: wsgi.TocsinMiddleware) -> WSGIApplication:
    assert middleware.start()
    return middleware
