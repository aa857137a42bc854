"""An answer that begins late, or has nothing but a head, ends with its token too (ASGI)."""
# Without `from __future__ import annotations`: the routes are closures.

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from tests.support.stack import Stack
from tests.verifier_agent.adapters.asgi_driver import (
    finished,
    http,
    tasks_of_agents,
    uvicorn_serving,
    websocket,
)
from tests.verifier_agent.adapters.conftest import Tokens
from tests.verifier_agent.adapters.test_long_lived import Watched, protected
from tocsin_verifier_agent import VerifierAgent
from tocsin_verifier_agent.fastapi import TocsinMiddleware

pytestmark = pytest.mark.asyncio(loop_scope="module")

WITHIN_S = 1.0
START = {"type": "http.response.start", "status": 200, "headers": []}
BODY = {"type": "http.response.body", "body": b"secret"}


# --- what has begun --------------------


async def test_a_stream_with_nothing_but_its_head_is_cut_off(shared: Stack, tokens: Tokens) -> None:
    app = FastAPI()

    @app.get("/feed")
    async def feed() -> StreamingResponse:
        async def events() -> AsyncIterator[bytes]:
            await asyncio.sleep(3600)
            yield b"data: never\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    leaving = await tokens.fresh()
    app.add_middleware(TocsinMiddleware, agent=shared.agent())
    headers = {"Authorization": f"Bearer {leaving}"}
    async with (
        uvicorn_serving(app) as url,
        httpx.AsyncClient() as client,
        client.stream("GET", f"{url}/feed", headers=headers) as answer,
    ):
        assert answer.status_code == 200
        await asyncio.sleep(0.2)
        await tokens.revoke(leaving)
        acknowledged = time.monotonic()
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
            await answer.aread()
        assert time.monotonic() - acknowledged < WITHIN_S


MEANWHILE: dict[str, list[dict[str, Any]]] = {
    "hints": [
        {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]},
        START,
        {"type": "http.response.push", "path": "/a.css", "headers": []},
        {"type": "http.response.debug", "info": {"template": "a"}},
    ],
    "a chunk by zero copy": [
        START,
        {"type": "http.response.zerocopysend", "file": 1, "more_body": True},
    ],
    "trailers that are still to come": [{**START, "trailers": True}, BODY],
    "some trailers": [
        {**START, "trailers": True},
        BODY,
        {"type": "http.response.trailers", "headers": [], "more_trailers": True},
    ],
}


@pytest.mark.parametrize("name", MEANWHILE)
async def test_what_does_not_end_an_answer_does_not_end_the_watch(
    name: str, live: VerifierAgent, tokens: Tokens
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in MEANWHILE[name]:
            await send(message)
        await asyncio.sleep(3600)

    leaving = await tokens.fresh()
    peer = http(protected(app, live), leaving)
    await asyncio.sleep(0.2)
    await tokens.revoke(leaving)
    await finished(peer, WITHIN_S)
    assert peer.sent == MEANWHILE[name]


ENDINGS: dict[str, list[dict[str, Any]]] = {
    "a body": [START, BODY],
    "a file": [START, {"type": "http.response.pathsend", "path": "/srv/a"}],
    "a file by zero copy": [START, {"type": "http.response.zerocopysend", "file": 1}],
    "trailers": [
        {**START, "trailers": True},
        BODY,
        {"type": "http.response.trailers", "headers": []},
    ],
}


@pytest.mark.parametrize("name", ENDINGS)
async def test_what_ends_an_answer_ends_the_watch(
    name: str, live: VerifierAgent, tokens: Tokens
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in ENDINGS[name]:
            await send(message)
        await asyncio.sleep(0.3)

    agent: Any = Watched(live)
    before = tasks_of_agents()
    peer = http(protected(app, agent), tokens.good)
    await asyncio.sleep(0.2)
    assert tasks_of_agents() - before == {peer.task}
    await finished(peer)
    assert agent.count == 0


# --- what begins late --------------------


@pytest.mark.parametrize(
    ("extensions", "answers"),
    [
        ({}, [{"type": "websocket.close", "code": 1008, "reason": "invalid_token"}]),
        ({"websocket.http.response": {}}, None),
    ],
)
async def test_a_websocket_is_not_accepted_when_its_token_has_died_meanwhile(
    extensions: dict[str, Any], answers: Any, live: VerifierAgent, tokens: Tokens
) -> None:
    leaving, revoked = await tokens.fresh(), asyncio.Event()

    async def late(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await revoked.wait()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "secret"})

    peer = websocket(protected(late, live), leaving, extensions=extensions)
    await asyncio.sleep(0.2)
    await tokens.revoke(leaving)
    await refused_by(live, leaving)
    revoked.set()
    await finished(peer)
    assert peer.task.exception() is None
    if answers is None:
        assert peer.types() == ["websocket.http.response.start", "websocket.http.response.body"]
        assert peer.sent[0]["status"] == 401
    else:
        assert peer.sent == answers


@pytest.mark.parametrize(("method", "status"), [("GET", 401), ("HEAD", 401), ("POST", 200)])
async def test_a_long_poll_is_answered_401_and_work_that_was_done_is_told(
    method: str, status: int, live: VerifierAgent, tokens: Tokens
) -> None:
    leaving, revoked = await tokens.fresh(), asyncio.Event()

    async def poll(scope: Any, receive: Any, send: Any) -> None:
        await revoked.wait()
        await send(START)
        await send(BODY)

    peer = http(protected(poll, live), leaving, method=method)
    staying = http(protected(poll, live), tokens.good, method=method)
    await asyncio.sleep(0.2)
    await tokens.revoke(leaving)
    await refused_by(live, leaving)
    revoked.set()
    await finished(peer)
    assert peer.task.exception() is None
    assert peer.types() == ["http.response.start", "http.response.body"]
    assert peer.sent[0]["status"] == status
    assert (b"secret" in peer.sent[1]["body"]) == (status == 200)
    await finished(staying)
    assert staying.sent == [START, BODY]


async def test_what_cannot_be_looked_at_again_is_not_begun(
    live: VerifierAgent, tokens: Tokens
) -> None:
    class Broken:
        """A sidecar that answers once."""

        asked = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(live, name)

        async def authenticate(self, *arguments: Any) -> Any:
            self.asked += 1
            if self.asked == 1:
                return await live.authenticate(*arguments)
            raise OSError

    async def poll(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.2)
        await send(START)
        await send(BODY)

    broken: Any = Broken()
    peer = http(protected(poll, broken), tokens.good)
    await finished(peer)
    assert peer.sent[0]["status"] == 503


async def refused_by(agent: VerifierAgent, token: str) -> None:
    async with asyncio.timeout(WITHIN_S):
        await agent.until_refused(token)
