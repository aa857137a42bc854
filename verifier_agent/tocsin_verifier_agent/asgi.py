"""ASGI: every request needs a good token, unless its path is named as public.

A connection that outlives its request (a WebSocket, a streamed answer) ends when its token is
revoked, expires, or can no longer be vouched for.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from tocsin_revocation_bus.tasks import end
from tocsin_schemas.errors import AgentStale, TokenRejected
from tocsin_verifier_agent import authenticator, bearer
from tocsin_verifier_agent.authenticator import Authenticator
from tocsin_verifier_agent.bearer import Refusal
from tocsin_verifier_agent.core.leniency import OnStale
from tocsin_verifier_agent.core.verified import Verified

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SCOPE_KEY = "tocsin"
PUBLIC_PATHS = ("/healthz", "/readyz")
# RFC 6455 section 7.4.1, and the IANA registry: policy violation, try again later.
CLOSE_REJECTED, CLOSE_STALE = 1008, 1013


class TocsinMiddleware:
    """Verifies the bearer token and puts the outcome into ``scope["tocsin"]``.

    The agent starts and stops with the application's lifespan; without ``agent`` it is what the
    file that ``TOCSIN_FILE`` names asks for. Health probes are public, so that a stale agent does
    not make the orchestrator restart a healthy service.
    """

    def __init__(
        self,
        app: App,
        *,
        agent: Authenticator | None = None,
        public_paths: Iterable[str] = PUBLIC_PATHS,
    ) -> None:
        self._app = app
        self._agent = authenticator.from_file() if agent is None else agent
        self._public = frozenset(public_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection, or the lifespan."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        scope[SCOPE_KEY] = None
        if scope["path"] in self._public:
            await self._app(scope, receive, send)
            return
        presented = await self._authenticate(scope)
        if isinstance(presented, Refusal):
            await _refuse(scope, presented, send)
            return
        scope[SCOPE_KEY] = presented
        await _while_good(presented, self._app, scope, receive, send)

    async def _authenticate(self, scope: Scope) -> Presented | Refusal:
        values = [value for name, value in scope["headers"] if name == b"authorization"]
        token = bearer.token_of(values[0].decode("latin-1")) if len(values) == 1 else None
        if token is None:
            return bearer.NO_TOKEN
        try:
            await self._agent.authenticate(token)
        except TokenRejected:
            return bearer.BAD_TOKEN
        except AgentStale as stale:
            return bearer.stale(stale)
        return Presented(self._agent, token)

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

    def __init__(self, agent: Authenticator, token: str) -> None:
        self._agent = agent
        self._token = token

    async def verify(
        self, max_staleness: float | None = None, on_stale: OnStale | None = None
    ) -> Verified:
        """As :meth:`Authenticator.authenticate`; from an agent's cache, in about a microsecond."""
        return await self._agent.authenticate(self._token, max_staleness, on_stale)

    async def until_refused(self) -> TokenRejected | AgentStale:
        """As :meth:`Authenticator.until_refused`."""
        return await self._agent.until_refused(self._token)


async def _while_good(
    presented: Presented, app: App, scope: Scope, receive: Receive, send: Send
) -> None:
    """Run the application; end it where what it sends outlives the token.

    A stream is cut off in the middle, so that no client takes it for complete.
    """
    loop = asyncio.get_running_loop()
    refusal: TokenRejected | AgentStale | None = None
    watching: asyncio.Task[None] | None = None

    async def watch() -> None:
        nonlocal refusal
        refusal = await presented.until_refused()
        limit.reschedule(loop.time())

    async def watched(message: Message) -> None:
        nonlocal watching
        await send(message)
        if watching is None and _goes_on(message):
            watching = asyncio.create_task(watch())

    limit = asyncio.timeout(None)
    try:
        async with limit:
            await app(scope, receive, watched)
    except TimeoutError:
        if refusal is None or not limit.expired():
            raise  # the application's own
        if scope["type"] == "websocket":
            found = bearer.stale(refusal) if isinstance(refusal, AgentStale) else bearer.BAD_TOKEN
            await _refuse(scope, found, send)
    finally:
        if watching is not None:
            await end(watching)


def _goes_on(message: Message) -> bool:
    return message["type"] == "websocket.accept" or (
        message["type"] == "http.response.body" and bool(message.get("more_body"))
    )


async def _refuse(scope: Scope, refusal: Refusal, send: Send) -> None:
    if scope["type"] == "websocket":
        code = CLOSE_STALE if refusal.status == 503 else CLOSE_REJECTED
        await send({"type": "websocket.close", "code": code, "reason": refusal.error})
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
