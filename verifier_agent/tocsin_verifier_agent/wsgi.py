"""WSGI (PEP 3333): every request needs a good token, unless its path is named as public.

::

    app.wsgi_app = TocsinMiddleware(app.wsgi_app)        # Flask
    application = TocsinMiddleware(get_wsgi_application())    # Django

    @require("orders:read")
    def orders(): ...
"""

from __future__ import annotations

import errno
import functools
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from tocsin_schemas.errors import AgentStale, TokenRejected
from tocsin_verifier_agent.adapters import bearer, peer
from tocsin_verifier_agent.adapters.after_fork import AfterFork
from tocsin_verifier_agent.adapters.bearer import Refusal, Refused
from tocsin_verifier_agent.adapters.presented import PRESENTED, Presented, caller, presented
from tocsin_verifier_agent.authenticator import Authenticator
from tocsin_verifier_agent.core.leniency import OnStale

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["Refused", "TocsinMiddleware", "caller", "require"]

ENVIRON_KEY = "tocsin"
PUBLIC_PATHS = ("/healthz", "/readyz")
LOOK_EVERY_S = 0.1

P = ParamSpec("P")
R = TypeVar("R")


class TocsinMiddleware:
    """Verifies the bearer token and puts a :class:`Presented` into ``environ["tocsin"]``.

    Each worker process starts an agent of its own, on a thread, with its first request, so that a
    server may fork after it has loaded the application (``gunicorn --preload``). ``agent`` is an
    agent, or what makes one; by default, what the file that ``TOCSIN_FILE`` names asks for. With
    ``start_agent=False`` somebody else starts and stops it. ``on_stale`` says for single paths what
    to do without a lease, in place of the agent's file; views behind it can only be stricter.
    """

    def __init__(
        self,
        app: WSGIApplication,
        *,
        agent: Authenticator | Callable[[], Authenticator] | None = None,
        public_paths: Iterable[str] = PUBLIC_PATHS,
        on_stale: Mapping[str, OnStale] | None = None,
        start_agent: bool = True,
    ) -> None:
        self._app = app
        self._agent = AfterFork(agent, start=start_agent)
        self._public = frozenset(public_paths)
        self._on_stale: dict[str, OnStale] = {**(on_stale or {})}

    def start(self) -> bool:
        """Start this process's agent now, once; return whether it was live within 5 s.

        For a server's hook (gunicorn's ``post_worker_init``), so that no request has to wait.
        """
        return self._agent.start()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """One request."""
        found: Presented | Refusal | None = None
        if _path(environ) not in self._public:
            found = self._authenticate(environ)
        if isinstance(found, Refusal):
            return _answer(found, start_response)
        environ[ENVIRON_KEY] = found
        token = PRESENTED.set(found)
        try:
            body = self._app(environ, start_response)
        except Refused as refused:
            return _answer(refused.refusal, start_response)
        finally:
            PRESENTED.reset(token)
        if isinstance(body, (list, tuple)):
            return body  # all there already
        return _Stream(body, found, start_response)

    def _authenticate(self, environ: Mapping[str, Any]) -> Presented | Refusal:
        token = bearer.token_of(environ.get("HTTP_AUTHORIZATION"))
        if token is None:
            return bearer.NO_TOKEN
        agent = self._agent.get()
        on_stale, certificate = self._on_stale.get(_path(environ)), peer.of_environ(environ)
        try:
            verified = agent.authenticate_blocking(token, None, on_stale, certificate)
        except (TokenRejected, AgentStale) as error:
            return bearer.refusal_of(error)
        return Presented(agent, token, verified, on_stale, certificate)


class _Stream:
    """A body that ends in the middle when its token is refused.

    The error is what servers take for a client that has gone: they close the connection, so the
    client can see that the end is missing. An application that is a generator runs only in here: a
    :class:`Refused` of its is answered as long as nothing has been sent.
    """

    def __init__(
        self, body: Iterable[bytes], found: Presented | None, start_response: StartResponse
    ) -> None:
        self._body = body
        self._chunks: Iterator[bytes] | None = None
        self._presented = found
        self._start_response = start_response
        self._sent = False
        self._looked = time.monotonic()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        token = PRESENTED.set(self._presented)
        try:
            if self._chunks is None:
                self._chunks = iter(self._body)
            chunk = next(self._chunks)
        except Refused as refused:
            if self._sent:
                raise
            self._chunks = iter(_answer(refused.refusal, self._start_response))
            chunk = next(self._chunks)
        finally:
            PRESENTED.reset(token)
        self._look()
        self._sent = self._sent or bool(chunk)
        return chunk

    def _look(self) -> None:
        now = time.monotonic()
        if self._presented is None or now - self._looked < LOOK_EVERY_S:
            return
        self._looked = now
        if self._presented.refused_now() is not None:
            raise ConnectionResetError(errno.ECONNRESET, "the token is no longer good")

    def close(self) -> None:
        """Close the application's body (PEP 3333)."""
        close = getattr(self._body, "close", None)
        if close is not None:
            close()


def require(
    *permissions: str, max_staleness: float | None = None, on_stale: OnStale | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator: the token must hold every permission, in ``perms`` or ``scope``.

    ``max_staleness`` (seconds) demands a fresher proof than the fleet's lease; ``on_stale`` is what
    this route does without one, and can only be stricter than the agent's file. What it decorates
    raises :class:`Refused` instead; hand that to the framework's error handling, or let it pass.
    """

    def decorate(view: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(view)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            presented().require_blocking(
                *permissions, max_staleness=max_staleness, on_stale=on_stale
            )
            return view(*args, **kwargs)

        return checked

    return decorate


def _path(environ: Mapping[str, Any]) -> str:
    path: str = environ.get("PATH_INFO", "")
    return path.encode("latin-1").decode("utf-8", "replace")


def _answer(refusal: Refusal, start_response: StartResponse) -> Iterable[bytes]:
    """Where an application has begun and then raised, its error replaces what it has begun, or is
    raised again if that was sent (PEP 3333).
    """
    status, error = f"{refusal.status} {HTTPStatus(refusal.status).phrase}", sys.exc_info()
    if error[0] is None:
        start_response(status, refusal.header_list())
    else:
        start_response(status, refusal.header_list(), error)
    return [refusal.content()]
