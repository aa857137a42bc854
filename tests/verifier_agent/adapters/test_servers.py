"""Streams and WebSockets on servers of their own, WSGI and ASGI."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from tests.support.stack import Stack
from tests.verifier_agent.adapters.conftest import Tokens
from tests.verifier_agent.adapters.processes import python, web_server
from tests.verifier_agent.adapters.websocket_client import CLOSE, HandshakeRefused, connected

pytestmark = pytest.mark.asyncio(loop_scope="module")

WITHIN_S = 1.0
APPS = "tests.verifier_agent.adapters.served_apps"
GUNICORN = ("gunicorn", "--log-level", "critical", "--bind", "127.0.0.1:{port}", "--worker-class")
UVICORN = ("uvicorn", "--log-level", "critical", "--port", "{port}", "--ws", "websockets-sansio")
STREAMING = {
    "wsgi, gunicorn sync": (*GUNICORN, "sync", f"{APPS}:wsgi_app"),
    "wsgi, gunicorn gthread": (*GUNICORN, "gthread", f"{APPS}:wsgi_app"),
    "flask, gunicorn sync": (*GUNICORN, "sync", "examples.flask_orders.service:app"),
    "asgi, gunicorn": (*GUNICORN, "asgi", "examples.asgi_orders.service:app"),
    "asgi, uvicorn": (*UVICORN, "examples.asgi_orders.service:app"),
}
REFUSES_UPGRADE = {
    "asgi, gunicorn": 403,  # no "websocket.http.response": all it can say is the specification's
    "asgi, uvicorn": 401,
}


async def cut_off_after(url: str, token: str, tokens: Tokens) -> float:
    """Revoke the token in the middle of a stream; the seconds until the client sees it break."""
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx.AsyncClient(timeout=10) as client,
        client.stream("GET", f"{url}/orders/feed", headers=headers) as answer,
    ):
        assert answer.status_code == 200
        chunks = answer.aiter_raw()
        assert await anext(chunks)
        await asyncio.sleep(0.3)
        await tokens.revoke(token)
        acknowledged = time.monotonic()
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
            async for _ in chunks:
                assert time.monotonic() - acknowledged < 5 * WITHIN_S
        return time.monotonic() - acknowledged


@pytest.mark.parametrize("name", STREAMING)
async def test_a_stream_breaks_off(name: str, shared: Stack, tokens: Tokens) -> None:
    def command(port: int) -> list[str]:
        return python(*(part.format(port=port) for part in STREAMING[name]))

    async with web_server(command, shared) as url:
        leaving = await tokens.fresh()
        assert await cut_off_after(url, leaving, tokens) < WITHIN_S
        if name in REFUSES_UPGRADE:
            port = int(url.rsplit(":", 1)[1])
            await _a_websocket_closes(port, tokens, then=REFUSES_UPGRADE[name])


async def _a_websocket_closes(port: int, tokens: Tokens, *, then: int) -> None:
    leaving = await tokens.fresh()
    async with connected(port, "/ws", leaving) as client:
        client.send("hello")
        assert (await client.frame())[1] == b"hello"
        await asyncio.sleep(0.3)
        await tokens.revoke(leaving)
        acknowledged = time.monotonic()
        kind, body = await client.frame()
        assert time.monotonic() - acknowledged < WITHIN_S
        assert (kind, int.from_bytes(body[:2]), body[2:]) == (CLOSE, 1008, b"invalid_token")
    with pytest.raises(HandshakeRefused) as refused:
        async with connected(port, "/ws", leaving):
            pass
    assert refused.value.status == then


async def test_an_agent_that_ran_before_the_fork_is_replaced(shared: Stack, tokens: Tokens) -> None:
    def command(port: int) -> list[str]:
        app = f"{APPS}:wsgi_app_started_at_once"
        server = (part.format(port=port) for part in GUNICORN)
        return python(*server, "sync", "--preload", app)

    async with web_server(command, shared) as url, httpx.AsyncClient(timeout=10) as client:
        leaving = await tokens.fresh()
        headers = {"Authorization": f"Bearer {leaving}", "Connection": "close"}
        assert (await client.get(f"{url}/", headers=headers)).status_code == 200
        await tokens.revoke(leaving)
        await asyncio.sleep(WITHIN_S)
        assert (await client.get(f"{url}/", headers=headers)).status_code == 401
