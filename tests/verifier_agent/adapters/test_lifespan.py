"""The agent lives as long as the application (ASGI lifespan)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.stack import Stack
from tests.verifier_agent.adapters.asgi_driver import uvicorn_serving
from tocsin_verifier_agent import VerifierAgent
from tocsin_verifier_agent.asgi import TocsinMiddleware

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Server:
    """The lifespan side of a server."""

    def __init__(self, app: Any) -> None:
        self.incoming: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self.outgoing: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self.task = asyncio.create_task(
            app({"type": "lifespan"}, self.incoming.get, self.outgoing.put)
        )

    async def say(self, kind: str) -> dict[str, str]:
        self.incoming.put_nowait({"type": kind})
        async with asyncio.timeout(10):
            return await self.outgoing.get()


async def raises(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"


async def returns(scope: Any, receive: Any, send: Any) -> None:
    return


async def supports(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


@pytest.mark.parametrize("app", [raises, returns, supports])
async def test_the_agent_lives_whatever_the_application_knows(app: Any, shared: Stack) -> None:
    agent = shared.agent()
    server = Server(TocsinMiddleware(app, agent=agent))
    assert await server.say("lifespan.startup") == {"type": "lifespan.startup.complete"}
    assert agent.status().state.value == "live"
    assert await server.say("lifespan.shutdown") == {"type": "lifespan.shutdown.complete"}
    assert agent._follower is None, "the server may end the loop now"
    await server.task


async def test_the_agent_is_live_when_the_application_starts(shared: Stack) -> None:
    agent = shared.agent()
    states: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        states.append(agent.status().state.value)
        await supports(scope, receive, send)

    server = Server(TocsinMiddleware(app, agent=agent))
    await server.say("lifespan.startup")
    await server.say("lifespan.shutdown")
    await server.task
    assert states == ["live"]


async def test_an_application_that_fails_to_start_leaves_no_agent_behind(shared: Stack) -> None:
    async def failing(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})
        raise RuntimeError("no database")

    agent = shared.agent()
    server = Server(TocsinMiddleware(failing, agent=agent))
    assert (await server.say("lifespan.startup"))["message"] == "no database"
    with pytest.raises(RuntimeError, match="no database"):
        await server.task
    assert agent._follower is None


async def test_an_agent_that_cannot_start_fails_the_start_up(live: VerifierAgent) -> None:
    """A server takes a bare exception for an application without lifespan, and goes on."""
    server = Server(TocsinMiddleware(supports, agent=live))  # it runs already
    answer = await server.say("lifespan.startup")
    assert answer["type"] == "lifespan.startup.failed"
    assert "running already" in answer["message"]
    with pytest.raises(RuntimeError):
        await server.task
    assert live.status().state.value == "live", "somebody else's agent was stopped"


async def test_a_cancelled_lifespan_stops_the_agent(shared: Stack) -> None:
    agent = shared.agent()
    server = Server(TocsinMiddleware(supports, agent=agent))
    await server.say("lifespan.startup")
    server.task.cancel()
    await asyncio.wait({server.task})
    assert agent._follower is None


async def test_uvicorn_does_not_start_without_the_agent(live: VerifierAgent) -> None:
    with pytest.raises(AssertionError, match="did not start"):
        async with uvicorn_serving(TocsinMiddleware(supports, agent=live)):
            pass
