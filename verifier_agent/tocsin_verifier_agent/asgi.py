"""ASGI: every request needs a good token, unless its path is named as public."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from tocsin_schemas.errors import AgentStale, TokenRejected
from tocsin_verifier_agent import bearer
from tocsin_verifier_agent.agent import VerifierAgent
from tocsin_verifier_agent.bearer import Refusal
from tocsin_verifier_agent.core.verified import Verified

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SCOPE_KEY = "tocsin"
PUBLIC_PATHS = ("/healthz", "/readyz")


class TocsinMiddleware:
    """Verifies the bearer token and puts the outcome into ``scope["tocsin"]``.

    The agent starts and stops with the application's lifespan; without ``agent`` it is built from
    the file that ``TOCSIN_FILE`` names. Health probes are public, so that a stale agent does not
    make the orchestrator restart a healthy service.
    """

    def __init__(
        self,
        app: App,
        *,
        agent: VerifierAgent | None = None,
        public_paths: Iterable[str] = PUBLIC_PATHS,
    ) -> None:
        self._app = app
        self._agent = VerifierAgent.from_file() if agent is None else agent
        self._public = frozenset(public_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection, or the lifespan."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        scope[SCOPE_KEY] = None
        if scope["path"] not in self._public:
            refusal = self._authenticate(scope)
            if refusal is not None:
                await _refuse(scope, refusal, send)
                return
        await self._app(scope, receive, send)

    def _authenticate(self, scope: Scope) -> Refusal | None:
        values = [value for name, value in scope["headers"] if name == b"authorization"]
        token = bearer.token_of(values[0].decode("latin-1")) if len(values) == 1 else None
        if token is None:
            return bearer.NO_TOKEN
        try:
            self._agent.verify(token)
        except TokenRejected:
            return bearer.BAD_TOKEN
        except AgentStale as stale:
            return bearer.stale(stale)
        scope[SCOPE_KEY] = Presented(self._agent, token)
        return None

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def started(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                await self._agent.run_in_loop()
            await send(message)

        try:
            await self._app(scope, receive, started)
        finally:
            await self._agent.leave_loop()


class Presented:
    """The token that came with a request, to be looked at again with other demands.

    Its text stays in here: it must not reach a log or an error by way of ``scope``.
    """

    __slots__ = ("_agent", "_token")

    def __init__(self, agent: VerifierAgent, token: str) -> None:
        self._agent = agent
        self._token = token

    def verify(self, max_staleness: float | None = None) -> Verified:
        """As :meth:`VerifierAgent.verify`; from the cache, in about a microsecond."""
        return self._agent.verify(self._token, max_staleness)


async def _refuse(scope: Scope, refusal: Refusal, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": refusal.error})
        return
    headers = {"content-type": "application/json", "cache-control": "no-store", **refusal.headers}
    await send(
        {
            "type": "http.response.start",
            "status": refusal.status,
            "headers": [(name.lower().encode(), text.encode()) for name, text in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": json.dumps(refusal.body()).encode()})
