"""How clients reconnect, close and read headers."""

import asyncio
import random
from urllib.parse import urlparse

import pytest
from nats.aio.client import Client, Server

from tests.revocation_bus.jetstream.issuer import core_client
from tocsin_issuer.embedded import EmbeddedNats
from tocsin_revocation_bus.jetstream.connection import (
    RECONNECT_WAIT_S,
    BusAddress,
    BusClient,
    connect,
    next_server,
)


def server(name: str, failures: int) -> Server:
    return Server(urlparse(f"nats://{name}:4222"), failures)


def test_the_next_server_is_one_that_has_failed_least() -> None:
    pool = [server("a", 3), server("b", 1), server("c", 1)]
    chosen = {next_server(pool, {})[0].uri.hostname for _ in range(100)}  # type: ignore[union-attr]
    assert chosen == {"b", "c"}


@pytest.mark.parametrize(
    ("failures", "least", "most"),
    [(0, 0.0, RECONNECT_WAIT_S[0]), (1, 0.25, 0.5), (3, 1.0, 2.0), (9999, 1.0, 2.0)],
)
def test_pauses_grow_to_a_limit_and_differ(failures: int, least: float, most: float) -> None:
    random.seed(7)
    pauses = {next_server([server("a", failures)], {})[1] for _ in range(200)}
    assert least <= min(pauses) < max(pauses) <= most
    assert max(pauses) - min(pauses) > (most - least) / 2
    assert len(pauses) > 100


async def test_a_client_closes_while_its_server_is_gone(nats_server: EmbeddedNats) -> None:
    lost = asyncio.Event()

    async def on_lost() -> None:
        lost.set()

    address = BusAddress((nats_server.url,), nats_server.core_credentials)
    client = await connect(address, name="core", on_lost=on_lost)
    await client.subscribe("some.thing", cb=_ignore)
    nats_server.kill()
    async with asyncio.timeout(3):
        await lost.wait()
        await client.publish("some.thing", b"not to be sent any more")
        await client.close()
    assert client.is_closed
    await asyncio.sleep(0.01)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def _ignore(message: object) -> None:
    return


@pytest.mark.parametrize(
    "raw",
    [
        b"Nats-Stream: S\r\nNats-Subject: tocsin.ledger.x\r\nNats-Sequence: 12\r\n\r\n",
        b"A:b\r\nC:\td: e\r\n\r\n",
        b"no colon\r\nA: \xc3\xa9 \xff\r\n\r\n",
        b"\r\n",
    ],
)
def test_headers_read_as_the_library_reads_them(raw: bytes) -> None:
    assert BusClient._parse_header_lines(raw) == Client._parse_header_lines(raw)


async def test_the_library_asks_for_the_cheaper_reading(
    nats_server: EmbeddedNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, original = list[bytes](), vars(BusClient)["_parse_header_lines"].__func__

    def reading(raw: bytes) -> dict[str, str]:
        read.append(raw)
        headers: dict[str, str] = original(raw)
        return headers

    monkeypatch.setattr(BusClient, "_parse_header_lines", staticmethod(reading))
    client = await core_client(nats_server)
    try:
        subscription = await client.subscribe("some.thing")
        await client.publish("some.thing", b"", headers={"C": "2"})
        message = await subscription.next_msg(timeout=10)
        assert message.headers == {"C": "2"}
        assert len(read) == 1
    finally:
        await client.close()
