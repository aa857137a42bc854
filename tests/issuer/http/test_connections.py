"""Clients that send slowly, too much, or come in crowds, on a real listener."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import monotonic

import pytest
from starlette.types import Receive, Scope, Send

from tests.support.certificates import Authority
from tocsin_issuer.http.connection import ConnectionLimits
from tocsin_issuer.http.server import Listener
from tocsin_issuer.tls.files import TlsFiles

LIMITS = ConnectionLimits(head_bytes=4096, head_timeout_s=0.4, connections=3, grace_s=1)
HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"
SLOW_S = 1.0


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with nothing; after a while, where the path says so."""
    if scope["path"] == "/slow":
        await asyncio.sleep(SLOW_S)
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    listener = Listener(app, "127.0.0.1", 0, LIMITS)
    listener.start()
    yield listener
    await listener.stop()


SERVERS = Authority("servers")


@pytest.fixture
async def tls(tmp_path: Path) -> AsyncIterator[Listener]:
    certificate, key = SERVERS.server().write(tmp_path, "server")
    files = TlsFiles(certificate=certificate, key=key)
    listener = Listener(app, "127.0.0.1", 0, LIMITS, files)
    listener.start()
    yield listener
    await listener.stop()


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected(listener: Listener) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    yield reader, writer
    writer.close()


async def ask(connection: Connection, data: bytes = HEAD + b"\r\n") -> bytes:
    """Send, and read the head of the answer; nothing where the connection ends."""
    reader, writer = connection
    writer.write(data)
    try:
        return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return b""


async def closes(connection: Connection) -> float:
    """After how many seconds the listener closes the connection."""
    start = monotonic()
    await asyncio.wait_for(connection[0].read(), 5)
    return monotonic() - start


async def test_a_head_that_does_not_end(listener: Listener) -> None:
    """One header line every now and then, so that the connection is never idle."""
    async with connected(listener) as (reader, writer):
        writer.write(HEAD)
        start, reading = monotonic(), asyncio.create_task(reader.read())
        while not reading.done() and monotonic() - start < 5:
            writer.write(b"X-A: b\r\n")
            await asyncio.sleep(0.05)
        assert monotonic() - start < 1.5
        answer = await reading
        assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert b'"code":"head_timeout"' in answer
        assert b"x-content-type-options: nosniff" in answer.lower()


async def test_a_client_that_says_nothing(listener: Listener) -> None:
    async with connected(listener) as connection:
        assert await closes(connection) < 1.5


async def test_the_second_request_has_no_more_time_than_the_first(listener: Listener) -> None:
    async with connected(listener) as connection:
        assert (await ask(connection)).startswith(b"HTTP/1.1 204")
        connection[1].write(HEAD)
        assert await closes(connection) < 1.5


async def test_who_waits_between_requests_or_for_an_answer_is_let_be(listener: Listener) -> None:
    async with connected(listener) as connection:
        slow = HEAD.replace(b"/ ", b"/slow ", 1) + b"\r\n"
        assert (await ask(connection, slow)).startswith(b"HTTP/1.1 204")
        await asyncio.sleep(2 * LIMITS.head_timeout_s)
        assert (await ask(connection)).startswith(b"HTTP/1.1 204")


@pytest.mark.parametrize("header", [b"X-A: " + b"a" * 40_000, b"X-A: b\r\n" * 5000])
async def test_a_head_that_is_too_large(listener: Listener, header: bytes) -> None:
    async with connected(listener) as connection:
        answer = await ask(connection, HEAD + header)
        assert answer.startswith((b"HTTP/1.1 431", b"HTTP/1.1 400")), answer
    async with connected(listener) as connection:
        assert (await ask(connection, HEAD + b"X-A: " + b"a" * 2000 + b"\r\n\r\n")).startswith(
            b"HTTP/1.1 204"
        )


async def test_a_crowd(listener: Listener) -> None:
    async with connected(listener) as one, connected(listener) as two, connected(listener) as three:
        for connection in (one, two, three):
            assert (await ask(connection)).startswith(b"HTTP/1.1 204")
        async with connected(listener) as four:
            answer = await ask(four, b"")
            assert answer.startswith(b"HTTP/1.1 503")
            assert b"retry-after: 1\r\n" in answer.lower()
        assert (await ask(one)).startswith(b"HTTP/1.1 204"), "the others stay"
    await asyncio.sleep(0.1)
    async with connected(listener) as connection:
        assert (await ask(connection)).startswith(b"HTTP/1.1 204")


# --- before there is a connection: with TLS, that is after the handshake --------------------------


async def test_a_handshake_that_is_not_begun(tls: Listener) -> None:
    async with connected(tls) as silent, connected(tls) as slow:
        slow[1].write(b"\x16\x03\x01")  # the first bytes of a record
        for connection in (silent, slow):
            assert await closes(connection) < 1.5


async def test_a_client_that_does_not_answer_the_end(tls: Listener) -> None:
    """It shakes hands and is silent from then on, so that it never says that it has seen the end
    either.
    """
    async with connected(tls) as (reader, writer):
        start = monotonic()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context(cadata=SERVERS.pem.decode())
        session = context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
        while True:
            try:
                session.do_handshake()
                break
            except ssl.SSLWantReadError:
                writer.write(outgoing.read())
                incoming.write(await asyncio.wait_for(reader.read(65536), 5))
        writer.write(outgoing.read())
        await asyncio.wait_for(reader.read(), 5)
        assert monotonic() - start < 2


async def test_a_crowd_that_shakes_no_hands(tls: Listener) -> None:
    """Twice as many as may be connected are waited for; more find the door closed at once."""
    async with AsyncExitStack() as stack:
        crowd = [await stack.enter_async_context(connected(tls)) for _ in range(40)]
        await asyncio.sleep(0.1)
        waited_for = [one for one in crowd if not one[0].at_eof() and one[0].exception() is None]
        assert len(waited_for) == 2 * LIMITS.connections
        for connection in waited_for:
            assert await closes(connection) < 1.5
    context = ssl.create_default_context(cadata=SERVERS.pem.decode())
    reader, writer = await asyncio.open_connection("127.0.0.1", tls.port, ssl=context)
    assert (await ask((reader, writer))).startswith(b"HTTP/1.1 204")
    writer.close()
