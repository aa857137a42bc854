"""The issuer's word lets a request in (`on_stale = introspect`), and never keeps a connection open:
that ends when the proof does, and nobody asks about it.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
import httpx
import pytest

from tests.support.endpoint import Endpoint, served
from tests.verifier_agent.adapters.asgi_driver import finished, websocket
from tests.verifier_agent.adapters.grpc_adapters import aio_server, of_service, sync_server
from tests.verifier_agent.adapters.http_adapters import serving
from tocsin_schemas.errors import AgentStale
from tocsin_verifier_agent import VerifierAgent, asgi, wsgi
from tocsin_verifier_agent.authenticator import Authenticator
from tocsin_verifier_agent.core.leniency import OnStale
from tocsin_verifier_agent.introspection import IntrospectionClient
from tocsin_verifier_agent.sidecar.address import BoundSocket, UnixAddress
from tocsin_verifier_agent.sidecar.client import SidecarClient
from tocsin_verifier_agent.sidecar.server import serve
from tocsin_verifier_agent.testing import LocalIssuer

WITHIN_S = 5.0


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    """It says yes to everything."""
    async with served() as endpoint:
        yield endpoint


@pytest.fixture
def issuer() -> LocalIssuer:
    return LocalIssuer()


@pytest.fixture
async def agent(issuer: LocalIssuer, endpoint: Endpoint) -> AsyncIterator[VerifierAgent]:
    """On a thread of its own, so that threads may ask as well."""
    asks = IntrospectionClient(url=endpoint.url, client_id="orders", client_secret="secret")
    agent = issuer.new_agent(on_stale="introspect", introspection=asks)
    await asyncio.to_thread(agent.start)
    yield agent
    await asyncio.to_thread(agent.stop)


@asynccontextmanager
async def by_sidecar(agent: VerifierAgent) -> AsyncIterator[SidecarClient]:
    """A service's client of a sidecar with that agent."""
    with tempfile.TemporaryDirectory() as folder:  # its path is short enough for a socket's
        bound, stopped = BoundSocket(UnixAddress(Path(folder) / "s")), asyncio.Event()
        sidecar = asyncio.create_task(serve(agent, bound, stopped))
        client = SidecarClient(Path(folder) / "s")
        try:
            yield client
        finally:
            await client.leave_loop()
            await asyncio.to_thread(client.stop)
            stopped.set()
            await sidecar
            bound.close()


# --- connections: each yields once it is open, and what follows waits for its end -----------------


@asynccontextmanager
async def websocket_of(agent: Authenticator, token: str) -> AsyncIterator[Any]:
    async def echo(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await asyncio.sleep(3600)

    peer = websocket(asgi.TocsinMiddleware(echo, agent=agent, start_agent=False), token)
    await peer.until("websocket.accept")

    async def ended() -> None:
        assert (await peer.until("websocket.close"))["code"] == 1013
        await finished(peer)

    yield ended


def ticks() -> Iterator[bytes]:
    while True:
        yield b"tick\n"
        time.sleep(0.02)


@asynccontextmanager
async def wsgi_stream_of(agent: Authenticator, token: str) -> AsyncIterator[Any]:
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return ticks()

    protected = wsgi.TocsinMiddleware(app, agent=agent, start_agent=False)
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        serving(protected) as url,
        httpx.AsyncClient() as client,
        client.stream("GET", url, headers=headers) as answer,
    ):
        chunks = answer.aiter_raw()
        assert await anext(chunks)

        async def ended() -> None:
            with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
                async for _ in chunks:
                    pass

        yield ended


@asynccontextmanager
async def grpc_stream_of(server: Any, follow: Any, agent: Any, token: str) -> AsyncIterator[Any]:
    service = of_service(follow=grpc.unary_stream_rpc_method_handler(follow))
    async with server(agent, service) as address, grpc.aio.insecure_channel(address) as channel:
        metadata = [("authorization", f"Bearer {token}")]
        stream = channel.unary_stream("/orders.Orders/follow")(b"", metadata=metadata, timeout=20)
        assert await stream.read() == b"tick\n"

        async def ended() -> None:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                while await stream.read():
                    pass
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE

        yield ended


def grpc_sync(agent: Authenticator, token: str) -> Any:
    return grpc_stream_of(sync_server, lambda request, context: ticks(), agent, token)


def grpc_aio(agent: Authenticator, token: str) -> Any:
    async def follow(request: bytes, context: Any) -> AsyncIterator[bytes]:
        while True:
            yield b"tick\n"
            await asyncio.sleep(0.02)

    return grpc_stream_of(aio_server, follow, agent, token)


CONNECTIONS = {
    "asgi": websocket_of,
    "wsgi": wsgi_stream_of,
    "grpc sync": grpc_sync,
    "grpc aio": grpc_aio,
}


@pytest.mark.parametrize("through_a_sidecar", [False, True])
@pytest.mark.parametrize("name", CONNECTIONS)
async def test_a_connection_ends_with_the_proof(
    name: str,
    through_a_sidecar: bool,
    issuer: LocalIssuer,
    agent: VerifierAgent,
    endpoint: Endpoint,
) -> None:
    token = issuer.mint(scope="orders:read")
    async with by_sidecar(agent) as client:
        authenticator: Authenticator = client if through_a_sidecar else agent
        async with CONNECTIONS[name](authenticator, token) as ended:
            await asyncio.sleep(0.3)
            issuer.go_stale()
            async with asyncio.timeout(WITHIN_S):
                await ended()
        assert endpoint.asked == [], "the issuer was asked about a connection"
        assert (await authenticator.authenticate(token)).unproven == "introspected"
        assert len(endpoint.asked) == 1


async def test_a_sidecar_is_told_not_to_ask(
    issuer: LocalIssuer, agent: VerifierAgent, endpoint: Endpoint
) -> None:
    token = issuer.mint()
    issuer.go_stale()
    async with by_sidecar(agent) as client:
        on_stale: OnStale | None
        for on_stale in (None, "introspect"):
            with pytest.raises(AgentStale) as stale:
                await asyncio.to_thread(client.verify, token, None, on_stale)
            assert stale.value.code == "lease_lapsed"
            assert (await client.until_refused(token, None, on_stale)).code == "lease_lapsed"
        assert endpoint.asked == []
        assert (await asyncio.to_thread(client.authenticate_blocking, token)).unproven
        assert len(endpoint.asked) == 1
