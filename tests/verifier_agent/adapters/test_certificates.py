"""Bound tokens behind real servers with TLS: each adapter sees the certificate, or refuses."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
import httpx
import pytest
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from werkzeug.serving import make_server

from tests.support.certificates import Authority, Issued
from tests.support.ports import find_free
from tests.verifier_agent.adapters.certified_app import ISSUER, app
from tests.verifier_agent.adapters.processes import ROOT
from tests.verifier_agent.adapters.websocket_client import HandshakeRefused, WebSocketClient
from tocsin_schemas.confirmation import thumbprint
from tocsin_verifier_agent.adapters import peer
from tocsin_verifier_agent.asgi import TocsinMiddleware
from tocsin_verifier_agent.grpc import AioTocsinInterceptor, Needs, TocsinInterceptor
from tocsin_verifier_agent.uvicorn import TlsHttp, _WithTls

OURS = "tocsin_verifier_agent.uvicorn"
AUTHORITY = Authority()
LISTENER, MINE, OTHERS = (
    AUTHORITY.server(),
    AUTHORITY.client("orders"),
    AUTHORITY.client("another"),
)


def bound() -> str:
    return ISSUER.mint(perms=["orders:read"], cnf={"x5t#S256": thumbprint(MINE.der)})


@pytest.fixture
def files(tmp_path: Path) -> Path:
    AUTHORITY.write(tmp_path / "ca.pem")
    for name, issued in (("listener", LISTENER), ("mine", MINE), ("others", OTHERS)):
        issued.write(tmp_path, name)
    return tmp_path


def listener_context(files: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files / "listener.pem", files / "listener.key")
    context.load_verify_locations(files / "ca.pem")
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def caller_context(files: Path, name: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(files / "ca.pem"))
    if name is not None:
        context.load_cert_chain(files / f"{name}.pem", files / f"{name}.key")
    return context


async def statuses(files: Path, port: int, token: str, path: str = "/orders") -> list[int]:
    """As the token's holder, as somebody else, and as nobody; twice on one connection."""
    found: list[int] = []
    for name in ("mine", "others", None):
        async with httpx.AsyncClient(verify=caller_context(files, name), trust_env=False) as client:
            for _ in range(2):
                answer = await client.get(
                    f"https://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {token}"}
                )
                found.append(answer.status_code)
    return found


HOLDER_ALONE = [200, 200, 401, 401, 401, 401]
NOBODY = [401] * 6


# --- ASGI ---------------------------------------------------------------------------------------


async def _service(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "open"})
        await receive()
        await receive()
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"served"})


@asynccontextmanager
async def served_by_uvicorn(files: Path, **options: Any) -> AsyncIterator[int]:
    middleware = TocsinMiddleware(_service, agent=ISSUER.agent, start_agent=False)
    config = uvicorn.Config(
        middleware,
        lifespan="off",
        log_config=None,
        ssl_context_factory=lambda *_: listener_context(files),
        **options,
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.create_task(server.serve([listening]))
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            await serving


class WithH11(_WithTls, H11Protocol):
    """For hosts without the faster parser."""


async def test_uvicorn_tells_of_it_with_our_protocol(files: Path) -> None:
    assert issubclass(TlsHttp, HttpToolsProtocol)
    for protocol in (TlsHttp, WithH11):
        async with served_by_uvicorn(files, http=protocol) as port:
            assert await statuses(files, port, bound()) == HOLDER_ALONE
            assert await statuses(files, port, ISSUER.mint()) == [200] * 6


async def test_where_uvicorn_says_nothing_a_bound_token_is_refused(files: Path) -> None:
    async with served_by_uvicorn(files) as port:
        assert await statuses(files, port, bound()) == NOBODY


async def test_a_websocket_is_the_holders_too(files: Path) -> None:
    async def opened(port: int, name: str) -> bool:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=caller_context(files, name)
        )
        try:
            client = WebSocketClient(reader, writer)
            await client.shake_hands("/orders", bound())
            assert (await client.frame())[1] == b"open"
        except HandshakeRefused as refused:
            assert refused.status == 401
            return False
        finally:
            writer.close()
        return True

    named = {"http": f"{OURS}:TlsHttp", "ws": f"{OURS}:TlsWebSocket"}  # as on the command line
    async with served_by_uvicorn(files, **named) as port:
        assert await opened(port, "mine")
        assert not await opened(port, "others")
    async with served_by_uvicorn(files, http=TlsHttp) as port:
        assert not await opened(port, "mine")


PEM = MINE.pem.decode()


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"client_cert_chain": [PEM], "client_cert_error": None}, MINE.der),
        ({"client_cert_chain": (PEM, LISTENER.pem.decode())}, MINE.der),
        ({"client_cert_chain": [PEM], "client_cert_error": "self-signed"}, None),
        ({"client_cert_chain": [PEM], "client_cert_error": ""}, None),
        ({"client_cert_chain": []}, None),
        ({"client_cert_chain": None}, None),
        ({}, None),
        (None, None),
        ({"client_cert_chain": ["nonsense"]}, None),
    ],
)
def test_what_a_server_may_say(told: dict[str, Any] | None, expected: bytes | None) -> None:
    assert peer.of_scope({"extensions": {"tls": told}}) == expected


def test_a_scope_may_have_no_extensions() -> None:
    assert peer.of_scope({}) is peer.of_scope({"extensions": None}) is None


# --- WSGI ---------------------------------------------------------------------------------------


@contextmanager
def werkzeug(files: Path) -> Iterator[int]:
    server = make_server("127.0.0.1", 0, app, ssl_context=listener_context(files), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_werkzeug_sets_it_in_the_environ(files: Path) -> None:
    with werkzeug(files) as port:
        assert await statuses(files, port, bound()) == HOLDER_ALONE


@asynccontextmanager
async def gunicorn(files: Path, *arguments: str) -> AsyncIterator[int]:
    port = find_free()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}"),
        *("--keyfile", str(files / "listener.key"), "--certfile", str(files / "listener.pem")),
        *("--ca-certs", str(files / "ca.pem"), "--cert-reqs", "1", "--no-control-socket"),
        *arguments,
        "tests.verifier_agent.adapters.certified_app:app",
        cwd=ROOT,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(20):
            while True:
                try:
                    await minted(files, port)
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
        yield port
    finally:
        process.terminate()
        await process.wait()


async def minted(files: Path, port: int) -> str:
    async with httpx.AsyncClient(verify=caller_context(files, None), trust_env=False) as client:
        url = f"https://127.0.0.1:{port}/mint?{thumbprint(MINE.der)}"
        return (await client.get(url)).text


@pytest.mark.parametrize("worker", ["sync", "gthread"])
async def test_gunicorns_connection_knows_it(files: Path, worker: str) -> None:
    async with gunicorn(files, "--worker-class", worker) as port:
        assert await statuses(files, port, await minted(files, port)) == HOLDER_ALONE


async def test_no_header_is_believed(files: Path) -> None:
    names = ("SSL-CLIENT-CERT", "SSL_CLIENT_CERT", "Client-Cert", "X-SSL-Client-Cert")
    lines = PEM.strip().replace("\n", " ")
    with werkzeug(files) as port:
        async with httpx.AsyncClient(verify=caller_context(files, None), trust_env=False) as client:
            for name in names:
                answer = await client.get(
                    f"https://127.0.0.1:{port}/",
                    headers={"Authorization": f"Bearer {bound()}", name: lines},
                )
                assert answer.status_code == 401


# --- gRPC ---------------------------------------------------------------------------------------


def _echo(request: bytes, context: Any) -> bytes:
    return request


async def _echo_async(request: bytes, context: Any) -> bytes:
    return request


def handlers(behaviour: Callable[..., Any]) -> Any:
    method = grpc.unary_unary_rpc_method_handler(behaviour)
    return grpc.method_handlers_generic_handler("orders.Orders", {"orders": method})


METHODS = {"/orders.Orders/orders": Needs("orders:read")}


def server_credentials(files: Path) -> Any:
    return grpc.ssl_server_credentials(
        [(LISTENER.key_pem, LISTENER.pem)], AUTHORITY.pem, require_client_auth=True
    )


def call(port: int, issued: Issued, token: str) -> str:
    credentials = grpc.ssl_channel_credentials(AUTHORITY.pem, issued.key_pem, issued.pem)
    with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
        ask = channel.unary_unary("/orders.Orders/orders")
        try:
            ask(b"", timeout=10, metadata=(("authorization", f"Bearer {token}"),))
        except grpc.RpcError as error:
            return str(error.code().name)
    return "OK"


def test_grpc_knows_it(files: Path) -> None:
    interceptor = TocsinInterceptor(METHODS, agent=ISSUER.agent, start_agent=False)
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool, interceptors=[interceptor])
        server.add_generic_rpc_handlers([handlers(_echo)])
        port = server.add_secure_port("localhost:0", server_credentials(files))
        server.start()
        assert call(port, MINE, bound()) == "OK"
        assert call(port, OTHERS, bound()) == "UNAUTHENTICATED"
        server.stop(0).wait()


async def test_grpc_aio_knows_it(files: Path) -> None:
    interceptor = AioTocsinInterceptor(METHODS, agent=ISSUER.agent, start_agent=False)
    server = grpc.aio.server(interceptors=[interceptor])
    server.add_generic_rpc_handlers([handlers(_echo_async)])
    port = server.add_secure_port("localhost:0", server_credentials(files))
    await server.start()
    assert await asyncio.to_thread(call, port, MINE, bound()) == "OK"
    assert await asyncio.to_thread(call, port, OTHERS, bound()) == "UNAUTHENTICATED"
    await server.stop(0)
