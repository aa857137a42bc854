"""gRPC: all four kinds of call, streams that end, and what handlers may know."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
import pytest

from tests.support.stack import Stack
from tests.verifier_agent.adapters.conftest import Cuttable, Tokens
from tests.verifier_agent.adapters.grpc_adapters import aio_server, of_service, sync_server
from tests.verifier_agent.adapters.processes import process, python
from tocsin_verifier_agent import VerifierAgent
from tocsin_verifier_agent.grpc import Refused, caller
from tocsin_verifier_agent.sidecar.client import SidecarClient

pytestmark = pytest.mark.asyncio(loop_scope="module")

WITHIN_S = 1.0
UNAUTHENTICATED, UNAVAILABLE = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNAVAILABLE
ENDED = threading.Event()


# --- one service, twice ----------------------------------------------------------------------


class Sync:
    """Handlers for `grpc.server`."""

    @staticmethod
    def orders(request: bytes, context: Any) -> bytes:
        return caller().subject[:2].encode()

    @staticmethod
    def follow(request: bytes, context: Any) -> Iterator[bytes]:
        while context.is_active():
            yield caller().subject[:2].encode()
            time.sleep(0.02)

    @staticmethod
    def idle(request: bytes, context: Any) -> Iterator[bytes]:
        yield b"begun"
        while context.is_active():
            time.sleep(0.05)
        ENDED.set()

    @staticmethod
    def upload(requests: Iterator[bytes], context: Any) -> bytes:
        return b"".join(requests) + caller().subject[:2].encode()

    @staticmethod
    def talk(requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        for request in requests:
            yield request + caller().subject[:2].encode()

    @staticmethod
    def healthz(request: bytes, context: Any) -> bytes:
        try:
            return caller().subject.encode()
        except Refused as refused:
            return str(refused).encode()


class Aio:
    """Handlers for `grpc.aio.server`."""

    @staticmethod
    async def orders(request: bytes, context: Any) -> bytes:
        return caller().subject[:2].encode()

    @staticmethod
    async def follow(request: bytes, context: Any) -> AsyncIterator[bytes]:
        while True:
            yield caller().subject[:2].encode()
            await asyncio.sleep(0.02)

    @staticmethod
    async def idle(request: bytes, context: Any) -> None:
        """By reading and writing, the other style."""
        await context.write(b"begun")
        try:
            await asyncio.sleep(3600)
        finally:
            ENDED.set()

    @staticmethod
    async def upload(requests: AsyncIterator[bytes], context: Any) -> bytes:
        parts = [part async for part in requests]
        return b"".join(parts) + caller().subject[:2].encode()

    @staticmethod
    async def talk(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request + caller().subject[:2].encode()

    @staticmethod
    async def stubborn(request: bytes, context: Any) -> None:
        errors = 0
        for _ in range(200):
            if errors == 3:
                break
            try:
                await context.write(b"secret")
                await asyncio.sleep(0.02)
            except (asyncio.CancelledError, Exception):
                errors += 1
        ENDED.set()

    healthz = staticmethod(orders)


def service(kind: type[Sync] | type[Aio]) -> Any:
    handlers = {
        "orders": grpc.unary_unary_rpc_method_handler(kind.orders),
        "healthz": grpc.unary_unary_rpc_method_handler(kind.healthz),
        "unlisted": grpc.unary_unary_rpc_method_handler(kind.orders),
        "follow": grpc.unary_stream_rpc_method_handler(kind.follow),
        "strict": grpc.unary_stream_rpc_method_handler(kind.follow),
        "idle": grpc.unary_stream_rpc_method_handler(kind.idle),
        "upload": grpc.stream_unary_rpc_method_handler(kind.upload),
        "talk": grpc.stream_stream_rpc_method_handler(kind.talk),
    }
    if kind is Aio:
        handlers["stubborn"] = grpc.unary_stream_rpc_method_handler(Aio.stubborn)
    return of_service(**handlers)


SERVERS: dict[str, tuple[Any, Any]] = {"sync": (sync_server, Sync), "aio": (aio_server, Aio)}


class Client:
    """Calls with one token."""

    def __init__(self, address: str, token: str) -> None:
        self._channel = grpc.aio.insecure_channel(address)
        self._metadata = [("authorization", f"Bearer {token}")]

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    def call(self, kind: str, method: str, *arguments: Any) -> Any:
        make = getattr(self._channel, kind)(f"/orders.Orders/{method}")
        return make(*arguments, metadata=self._metadata, timeout=20)


async def refusal(awaitable: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await awaitable
    return refused.value


async def then_waits(*first: bytes) -> AsyncIterator[bytes]:
    """A client that is writing when its call ends gets INTERNAL from its own library, at times."""
    for message in first:
        yield message
    await asyncio.sleep(3600)


async def drained(call: Any) -> None:
    while await call.read():
        pass
    raise AssertionError("it came to a good end")


# --- the tests ---------------------------------------------------------------------------------


@pytest.mark.parametrize("server", SERVERS)
async def test_all_four_kinds_know_their_caller(
    server: str, live: VerifierAgent, tokens: Tokens
) -> None:
    serving, kind = SERVERS[server]
    async with serving(live, service(kind)) as address, Client(address, tokens.good) as client:
        assert await client.call("unary_unary", "orders", b"") == b"u_"
        follow = client.call("unary_stream", "follow", b"")
        assert [await follow.read() for _ in range(3)] == [b"u_"] * 3
        follow.cancel()
        assert await client.call("stream_unary", "upload", iter([b"a", b"b"])) == b"abu_"
        talk = client.call("stream_stream", "talk", iter([b"a", b"b"]))
        assert [message async for message in talk] == [b"au_", b"bu_"]


@pytest.mark.parametrize("server", SERVERS)
async def test_all_four_kinds_refuse(server: str, live: VerifierAgent, tokens: Tokens) -> None:
    serving, kind = SERVERS[server]
    async with serving(live, service(kind)) as address, Client(address, tokens.revoked) as client:
        for call in (
            client.call("unary_unary", "orders", b""),
            client.call("stream_unary", "upload", then_waits()),
            drained(client.call("unary_stream", "follow", b"")),
            drained(client.call("stream_stream", "talk", then_waits())),
        ):
            error = await refusal(call)
            assert (error.code(), error.details()) == (
                UNAUTHENTICATED,
                "the access token is not valid",
            )


@pytest.mark.parametrize("server", SERVERS)
async def test_a_method_that_nobody_listed_is_open_to_nobody(
    server: str, live: VerifierAgent, tokens: Tokens
) -> None:
    serving, kind = SERVERS[server]
    async with serving(live, service(kind)) as address:
        async with Client(address, tokens.good) as client:
            error = await refusal(client.call("unary_unary", "unlisted", b""))
            assert error.code() is grpc.StatusCode.PERMISSION_DENIED
        async with Client(address, "nonsense") as client:
            error = await refusal(client.call("unary_unary", "unlisted", b""))
            assert error.code() is UNAUTHENTICATED


async def test_a_public_method_has_no_caller(live: VerifierAgent, tokens: Tokens) -> None:
    async with sync_server(live, service(Sync)) as address, Client(address, tokens.good) as client:
        assert await client.call("unary_unary", "healthz", b"") == b"401 invalid_request"
        # The threads of the pool have served somebody before.
        assert await client.call("unary_unary", "orders", b"") == b"u_"
        for _ in range(16):
            assert await client.call("unary_unary", "healthz", b"") == b"401 invalid_request"


@pytest.mark.parametrize(
    ("server", "method", "code"),
    [
        ("sync", "follow", UNAUTHENTICATED),
        ("sync", "idle", grpc.StatusCode.CANCELLED),
        ("aio", "follow", UNAUTHENTICATED),
        ("aio", "idle", UNAUTHENTICATED),
    ],
)
async def test_a_stream_ends_when_its_token_is_revoked(
    server: str, method: str, code: grpc.StatusCode, live: VerifierAgent, tokens: Tokens
) -> None:
    ENDED.clear()
    serving, kind = SERVERS[server]
    leaving = await tokens.fresh()
    async with (
        serving(live, service(kind)) as address,
        Client(address, leaving) as client,
        Client(address, tokens.good) as staying,
    ):
        stream = client.call("unary_stream", method, b"")
        other = staying.call("unary_stream", "follow", b"")
        assert await stream.read()
        await asyncio.sleep(0.3)
        await tokens.revoke(leaving)
        acknowledged = time.monotonic()
        error = await refusal(drained(stream))
        assert time.monotonic() - acknowledged < WITHIN_S
        assert error.code() is code
        assert [await other.read() for _ in range(3)] == [b"u_"] * 3
        other.cancel()
    if method == "idle":
        assert await asyncio.to_thread(ENDED.wait, 2)


@pytest.mark.parametrize("server", SERVERS)
async def test_an_upload_ends_too(server: str, live: VerifierAgent, tokens: Tokens) -> None:
    serving, kind = SERVERS[server]
    leaving = await tokens.fresh()

    async with serving(live, service(kind)) as address, Client(address, leaving) as client:
        call = asyncio.ensure_future(client.call("stream_unary", "upload", then_waits(b"a")))
        await asyncio.sleep(0.3)
        await tokens.revoke(leaving)
        acknowledged = time.monotonic()
        error = await refusal(call)
        assert time.monotonic() - acknowledged < WITHIN_S
        assert error.code() in {UNAUTHENTICATED, grpc.StatusCode.CANCELLED}


@pytest.mark.parametrize("server", SERVERS)
async def test_a_stream_ends_when_the_agent_goes_stale(
    server: str, cuttable: Cuttable, tokens: Tokens
) -> None:
    serving, kind = SERVERS[server]
    async with (
        serving(cuttable.agent, service(kind)) as address,
        Client(address, tokens.good) as client,
    ):
        stream = client.call("unary_stream", "follow", b"")
        assert await stream.read() == b"u_"
        ended = asyncio.ensure_future(refusal(drained(stream)))
        await cuttable.cut()
        error = await ended
        assert error.code() is UNAVAILABLE
        assert dict(error.trailing_metadata())["retry-after"] == "1"


@pytest.mark.parametrize("server", SERVERS)
async def test_a_method_that_demands_a_fresher_proof_demands_it_of_its_streams(
    server: str, cuttable: Cuttable, tokens: Tokens
) -> None:
    serving, kind = SERVERS[server]
    async with (
        serving(cuttable.agent, service(kind)) as address,
        Client(address, tokens.good) as client,
    ):
        stream = client.call("unary_stream", "strict", b"")
        assert await stream.read() == b"u_"
        cuttable.relay.cut()
        error = await refusal(drained(stream))
        assert error.code() is UNAVAILABLE
        assert cuttable.agent.status().state.value == "live"


async def test_a_handler_that_swallows_its_cancellation_reaches_nobody(
    live: VerifierAgent, tokens: Tokens
) -> None:
    ENDED.clear()
    leaving = await tokens.fresh()
    async with aio_server(live, service(Aio)) as address, Client(address, leaving) as client:
        stream = client.call("unary_stream", "stubborn", b"")
        assert await stream.read() == b"secret"
        await tokens.revoke(leaving)
        error = await refusal(drained(stream))
        assert error.code() is UNAUTHENTICATED
        assert ENDED.is_set()


async def test_no_watch_outlives_its_call(live: VerifierAgent, tokens: Tokens) -> None:
    async with aio_server(live, service(Aio)) as address, Client(address, tokens.good) as client:
        stream = client.call("unary_stream", "follow", b"")
        assert await stream.read()
        assert len(live._watch._watched) == 1
        stream.cancel()
        for _ in range(100):
            if not live._watch._watched:
                return
            await asyncio.sleep(0.02)
    raise AssertionError("the watch is still there")


@pytest.mark.parametrize("server", SERVERS)
async def test_many_streams_end_together_when_the_sidecar_hangs(
    server: str, shared: Stack, tokens: Tokens
) -> None:
    serving, kind = SERVERS[server]
    socket = shared.folder / f"{server}.sock"
    file = shared.folder / f"orders-by-{server}.tocsin"
    file.touch(mode=0o600)
    file.write_text(f'sidecar = "{socket.name}"\n' + (shared.folder / "orders.tocsin").read_text())
    command = python("tocsin_verifier_agent.sidecar", "--file", str(file))
    async with process(command, shared) as sidecar:
        async with asyncio.timeout(20):
            while not socket.exists():
                assert sidecar.returncode is None, await sidecar.communicate()
                await asyncio.sleep(0.05)
        asks: Any = SidecarClient(socket)
        async with serving(asks, service(kind)) as address, Client(address, tokens.good) as client:
            streams = [client.call("unary_stream", "idle", b"") for _ in range(6)]
            assert [await stream.read() for stream in streams] == [b"begun"] * 6
            sidecar.send_signal(signal.SIGSTOP)
            try:
                async with asyncio.timeout(5):
                    await asyncio.gather(*(refusal(drained(stream)) for stream in streams))
            finally:
                sidecar.send_signal(signal.SIGCONT)
        await asks.leave_loop()
        await asyncio.to_thread(asks.stop)
