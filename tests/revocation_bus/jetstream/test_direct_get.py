"""Reading the stream in batches, from a server that may go away."""

import asyncio
import time

import pytest
from nats.aio.client import Client

from tests.revocation_bus.jetstream.issuer import TestIssuer
from tocsin_revocation_bus.jetstream import direct_get
from tocsin_revocation_bus.jetstream.direct_get import ReadFailed, read_all, read_batch

BATCH = 50
MESSAGES = 2 * BATCH + 30


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct_get, "BATCH", BATCH)


def subscriptions(client: Client) -> int:
    return len(client._subs)


async def fill(client: Client, messages: int) -> int:
    """Bring the stream to ``messages`` messages, the last of which is acknowledged."""
    for number in range(messages - 2):
        await client.publish("tocsin.ledger.noise", b"%d" % number)
    await client.request("tocsin.ledger.noise", b"last", timeout=20)
    return messages


async def test_several_batches_make_the_whole_stream(issuer: TestIssuer) -> None:
    await fill(issuer.client, MESSAGES)
    before = subscriptions(issuer.client)
    read = [message async for message in read_all(issuer.client)]
    assert [message.seq for message in read] == list(range(1, MESSAGES + 1))
    assert (read[0].text, read[-1].text) == (issuer.ledger.texts[0], "last")
    assert read[-1].subject == "tocsin.ledger.noise"
    assert subscriptions(issuer.client) == before


async def test_a_batch_starts_where_it_is_told_to_and_ends_at_its_size(issuer: TestIssuer) -> None:
    await fill(issuer.client, MESSAGES)
    read = [message.seq async for message in read_batch(issuer.client, 21)]
    assert read == list(range(21, 21 + BATCH))
    assert [message async for message in read_batch(issuer.client, MESSAGES + 1)] == []


async def test_others_get_their_turn_while_a_batch_is_read(issuer: TestIssuer) -> None:
    await fill(issuer.client, BATCH)
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            began = time.monotonic()
            await asyncio.sleep(0)
            longest = max(longest, time.monotonic() - began)

    ticking = asyncio.create_task(tick())
    async for _ in read_batch(issuer.client, 1):
        time.sleep(0.02)  # noqa: ASYNC251 (a slow record)
    ticking.cancel()
    assert 0.02 < longest < BATCH * 0.02 / 2


async def test_a_read_fails_soon_when_its_connection_is_lost(issuer: TestIssuer) -> None:
    issuer.nats.pause()
    before = subscriptions(issuer.client)
    reading = asyncio.ensure_future(anext(read_batch(issuer.client, 1)))
    await asyncio.sleep(0.1)
    began = time.monotonic()
    issuer.nats.kill()
    with pytest.raises(ReadFailed, match="disconnected"):
        await reading
    assert time.monotonic() - began < direct_get.TIMEOUT_S / 2
    assert subscriptions(issuer.client) == before
