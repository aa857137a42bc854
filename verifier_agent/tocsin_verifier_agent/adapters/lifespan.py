"""The agent's life inside an ASGI application's lifespan."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from tocsin_verifier_agent.authenticator import Authenticator

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_ENDINGS = frozenset({"lifespan.shutdown.complete", "lifespan.shutdown.failed"})
_log = logging.getLogger("tocsin.asgi")


async def run(agent: Authenticator, app: App, scope: Scope, receive: Receive, send: Send) -> None:
    """Start the agent, let the application live, stop the agent.

    An application that knows no lifespan gets its agent all the same (the ASGI specification lets
    it raise). An agent that cannot start fails the start-up: a server would otherwise take the
    error for an application without lifespan, and serve nothing but 503.
    """
    opening = await receive()
    try:
        await agent.run_in_loop()
    except Exception as error:
        # It is not stopped: it may be running because somebody else has started it.
        await send({"type": "lifespan.startup.failed", "message": f"tocsin: {error}"})
        raise
    try:
        await _application(agent, app, scope, opening, receive, send)
    finally:
        await agent.leave_loop()


async def _application(
    agent: Authenticator,
    app: App,
    scope: Scope,
    opening: Message,
    receive: Receive,
    send: Send,
) -> None:
    waiting = [opening]
    answered = False

    async def from_server() -> Message:
        return waiting.pop() if waiting else await receive()

    async def to_server(message: Message) -> None:
        nonlocal answered
        answered = True
        if message["type"] in _ENDINGS:
            await agent.leave_loop()  # the server may end the loop as soon as it has this message
        await send(message)

    try:
        await app(scope, from_server, to_server)
    except Exception as error:
        if answered:
            raise
        _log.info("the application has no lifespan: %s", type(error).__name__)
    if answered:
        return
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await agent.leave_loop()
    await send({"type": "lifespan.shutdown.complete"})
