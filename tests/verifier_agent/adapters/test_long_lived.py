"""A connection that outlives its request ends when its token is refused (ASGI)."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import httpx
import pytest

from tests.support.stack import Stack
from tests.verifier_agent.adapters.asgi_driver import (
    Peer,
    finished,
    http,
    tasks_of_agents,
    uvicorn_serving,
    websocket,
)
from tests.verifier_agent.adapters.conftest import Cuttable, Tokens
from tocsin_verifier_agent import VerifierAgent
from tocsin_verifier_agent.adapters.bearer import Refused
from tocsin_verifier_agent.asgi import TocsinMiddleware

pytestmark = pytest.mark.asyncio(loop_scope="module")

WITHIN_S = 1.0


def protected(app: Any, agent: VerifierAgent, **options: Any) -> TocsinMiddleware:
    return TocsinMiddleware(app, agent=agent, start_agent=False, **options)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """A WebSocket that stays open."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] != "websocket.disconnect":
        await send({"type": "websocket.send", "text": message["text"]})


async def ticker(scope: Any, receive: Any, send: Any) -> None:
    """An answer that goes on for ever."""
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": b"tick\n", "more_body": True})
        await asyncio.sleep(0.02)


async def silent(scope: Any, receive: Any, send: Any) -> None:
    """An answer that has begun, and has nothing to say for an hour."""
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begun\n", "more_body": True})
    await asyncio.sleep(3600)


async def echoes(peer: Peer) -> None:
    peer.put({"type": "websocket.receive", "text": "hello"})
    assert (await peer.until("websocket.send"))["text"] == "hello"


# --- what ends it --------------------


async def test_a_websocket_closes_with_1008_when_its_user_logs_out(
    live: VerifierAgent, tokens: Tokens
) -> None:
    leaving, staying = await tokens.fresh(), await tokens.fresh()
    app = protected(echo, live)
    peer, other = websocket(app, leaving), websocket(app, staying)
    await echoes(peer)
    await asyncio.sleep(0.3)
    assert not peer.task.done()
    await tokens.revoke(leaving)
    acknowledged = time.monotonic()
    close = await peer.until("websocket.close")
    assert (close["code"], close["reason"]) == (1008, "invalid_token")
    assert peer.times[-1] - acknowledged < WITHIN_S
    await finished(peer)
    await echoes(other)
    other.put({"type": "websocket.disconnect", "code": 1000})
    await finished(other)
    assert "websocket.close" not in other.types()


async def test_a_websocket_closes_with_1013_when_the_agent_goes_stale(
    cuttable: Cuttable, tokens: Tokens
) -> None:
    peer = websocket(protected(echo, cuttable.agent), tokens.good)
    await echoes(peer)
    await asyncio.sleep(0.2)
    await cuttable.cut()
    went_stale = time.monotonic()
    close = await peer.until("websocket.close")
    assert (close["code"], close["reason"]) == (1013, "temporarily_unavailable")
    assert peer.times[-1] - went_stale < WITHIN_S
    await finished(peer)


async def test_a_connection_ends_with_its_tokens_life(live: VerifierAgent, tokens: Tokens) -> None:
    token = tokens.expiring(2)
    ends = time.time() + 2
    peer, stream = websocket(protected(echo, live), token), http(protected(silent, live), token)
    close = await peer.until("websocket.close")
    assert close["code"] == 1008
    assert abs(time.time() - ends) < 1.2
    await finished(stream)
    assert stream.types() == ["http.response.start", "http.response.body"]


async def test_a_route_that_demands_a_fresher_proof_demands_it_of_the_connection(
    cuttable: Cuttable, tokens: Tokens
) -> None:
    async def strict(scope: Any, receive: Any, send: Any) -> None:
        await scope["tocsin"].require("orders:read", max_staleness=1.0)
        await echo(scope, receive, send)

    peer = websocket(protected(strict, cuttable.agent), tokens.good)
    usual = websocket(protected(echo, cuttable.agent), tokens.good)
    await echoes(peer)
    cuttable.relay.cut()
    assert (await peer.until("websocket.close"))["code"] == 1013
    assert cuttable.agent.status().state.value == "live"
    assert "websocket.close" not in usual.types()
    usual.task.cancel()
    await finished(usual)


@pytest.mark.parametrize("app", [ticker, silent])
async def test_a_client_sees_that_a_stream_was_cut_off(
    app: Any, shared: Stack, tokens: Tokens
) -> None:
    leaving = await tokens.fresh()
    agent = shared.agent()
    async with uvicorn_serving(TocsinMiddleware(app, agent=agent)) as url, httpx.AsyncClient() as c:
        headers = {"Authorization": f"Bearer {leaving}"}
        got = b""
        async with c.stream("GET", f"{url}/stream", headers=headers) as answer:
            assert answer.status_code == 200
            chunks = answer.aiter_raw()
            got += await anext(chunks)
            await asyncio.sleep(0.2)
            await tokens.revoke(leaving)
            acknowledged = time.monotonic()
            with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
                async for chunk in chunks:
                    got += chunk
            assert time.monotonic() - acknowledged < WITHIN_S
        assert got
        assert (await c.get(f"{url}/stream", headers=headers)).status_code == 401
    assert agent._follower is None, "the lifespan did not stop the agent"


# --- what the application makes of it --------------------


async def test_an_application_that_swallows_its_cancellation_reaches_nobody(
    live: VerifierAgent, tokens: Tokens
) -> None:
    errors: list[str] = []
    seen: list[tuple[str, int]] = []

    async def stubborn(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        for _ in range(60):
            if len(errors) == 3:
                break
            try:
                await asyncio.sleep(0.05)
                await send({"type": "websocket.send", "text": "secret"})
            except (asyncio.CancelledError, OSError) as error:
                errors.append(type(error).__name__)
        message = await receive()
        seen.append((message["type"], message["code"]))
        raise RuntimeError("and then it breaks")

    leaving = await tokens.fresh()
    peer = websocket(protected(stubborn, live), leaving)
    await peer.until("websocket.send")
    await asyncio.sleep(0.2)
    await tokens.revoke(leaving)
    await peer.until("websocket.close")
    count = len(peer.sent)
    await finished(peer)
    assert peer.task.exception() is None
    assert len(peer.sent) == count
    assert errors == ["CancelledError", "CutOff", "CutOff"]
    assert seen == [("websocket.disconnect", 1008)]


async def test_work_after_the_answer_is_not_cut_off(live: VerifierAgent, tokens: Tokens) -> None:
    done: list[str] = []

    async def with_background_task(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await asyncio.sleep(0.2)
        await send({"type": "http.response.body", "body": b"b"})
        await asyncio.sleep(2.5)
        done.append("all")

    peer = http(protected(with_background_task, live), tokens.expiring(2))
    await finished(peer)
    assert peer.task.exception() is None
    assert done == ["all"]


@pytest.mark.parametrize("error", [TimeoutError("its own"), RuntimeError("its own")])
@pytest.mark.parametrize("after_accept", [False, True])
async def test_the_applications_errors_are_its_own(
    error: Exception, after_accept: bool, live: VerifierAgent, tokens: Tokens
) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        if after_accept:
            await send({"type": "websocket.accept"})
            await asyncio.sleep(0.2)
        raise error

    peer = websocket(protected(broken, live), tokens.good)
    await finished(peer)
    assert peer.task.exception() is error
    assert peer.types() == ["websocket.accept"] * after_accept


async def test_a_server_may_cancel_a_connection(live: VerifierAgent, tokens: Tokens) -> None:
    peer = websocket(protected(echo, live), tokens.good)
    await echoes(peer)
    await asyncio.sleep(0.2)
    peer.task.cancel()
    await finished(peer)
    assert peer.task.cancelled()


async def test_no_watch_outlives_its_connection(live: VerifierAgent, tokens: Tokens) -> None:
    before = tasks_of_agents()
    peers = [websocket(protected(echo, live), tokens.good) for _ in range(20)]
    peers += [http(protected(ticker, live), tokens.good) for _ in range(20)]
    await asyncio.sleep(0.3)
    assert len(live._watch._watched) == 40
    for peer in peers:
        if peer.scope["type"] == "websocket":
            peer.put({"type": "websocket.disconnect", "code": 1000})
        else:
            peer.task.cancel()
        await finished(peer)
    assert len(live._watch._watched) == 0
    assert tasks_of_agents() - before == set()


class Watched:
    """An agent that counts who watches."""

    def __init__(self, agent: VerifierAgent) -> None:
        self._agent = agent
        self.count = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._agent, name)

    async def until_refused(self, *arguments: Any) -> Any:
        self.count += 1
        return await self._agent.until_refused(*arguments)


@pytest.mark.parametrize(("pause", "count"), [(0.0, 0), (0.3, 1)])
async def test_a_short_answer_is_not_watched(
    pause: float, count: int, live: VerifierAgent, tokens: Tokens
) -> None:
    async def streamed(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await asyncio.sleep(pause)
        await send({"type": "http.response.body", "body": b"b", "more_body": True})
        await send({"type": "http.response.body", "body": b"c"})
        await asyncio.sleep(0.3)

    agent: Any = Watched(live)
    peer = http(protected(streamed, agent), tokens.good)
    await finished(peer)
    assert len(peer.sent) == 4
    assert agent.count == count


async def test_what_cannot_be_watched_is_cut_off(
    live: VerifierAgent, tokens: Tokens, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        """A sidecar that answers, and then does not."""

        def __getattr__(self, name: str) -> Any:
            return getattr(live, name)

        async def until_refused(self, token: str, *_: object) -> None:
            raise OSError(f"no socket for {token}")

    broken: Any = Broken()
    peer = websocket(protected(echo, broken), tokens.good)
    with caplog.at_level(logging.ERROR):
        assert (await peer.until("websocket.close"))["code"] == 1013
    await finished(peer)
    assert "cannot be watched: OSError" in caplog.text
    assert tokens.good not in caplog.text


# --- refusals before and after the handshake --------------------


async def test_a_websocket_is_refused_before_the_handshake(live: VerifierAgent) -> None:
    peer = websocket(protected(echo, live), "nonsense")
    await finished(peer)
    assert peer.sent == [{"type": "websocket.close", "code": 1008, "reason": "invalid_token"}]


async def test_a_websocket_is_refused_with_401_where_the_server_can(live: VerifierAgent) -> None:
    peer = websocket(protected(echo, live), "nonsense", extensions={"websocket.http.response": {}})
    await finished(peer)
    assert peer.types() == ["websocket.http.response.start", "websocket.http.response.body"]
    assert peer.sent[0]["status"] == 401
    assert b'error="invalid_token"' in dict(peer.sent[0]["headers"])[b"www-authenticate"]


@pytest.mark.parametrize("accepted", [False, True])
async def test_a_permission_is_missing(accepted: bool, live: VerifierAgent, tokens: Tokens) -> None:
    async def admin(scope: Any, receive: Any, send: Any) -> None:
        if accepted:
            await receive()
            await send({"type": "websocket.accept"})
        await scope["tocsin"].require("orders:admin")

    peer = websocket(protected(admin, live), tokens.good)
    await finished(peer)
    close = {"type": "websocket.close", "code": 1008, "reason": "insufficient_scope"}
    assert peer.sent == [{"type": "websocket.accept"}] * accepted + [close]


async def test_it_is_too_late_to_refuse_an_answer_that_has_begun(
    live: VerifierAgent, tokens: Tokens
) -> None:
    async def late(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await scope["tocsin"].require("orders:admin")

    peer = http(protected(late, live), tokens.good)
    await finished(peer)
    assert isinstance(peer.task.exception(), Refused)
    assert peer.types() == ["http.response.start"]
