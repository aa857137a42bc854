"""What an agent cannot hear: all but the republished ledger and the inboxes of its account."""

from __future__ import annotations

import pytest

from tests.issuer.embedded.bus import BusClient, received
from tests.support.flushed import flushed
from tocsin_schemas.subjects import DIRECT_GET, EDGE_SUBJECTS

FORBIDDEN = [
    ">",
    "*",
    "*.>",
    "tocsin.>",
    "tocsin.ledger.>",
    "tocsin.clock.sync",
    "tocsin.revocations.command",
    "$SYS.>",
    "$JS.>",
    "_R_.>",
]


@pytest.mark.parametrize("subject", FORBIDDEN)
async def test_listen_elsewhere(core: BusClient, agent: BusClient, subject: str) -> None:
    heard = await agent.subscribe(subject)
    assert "permissions violation for subscription" in await agent.denied()
    await core.connection.publish("tocsin.clock.sync", b"private")
    await core.connection.publish("private", b"private")
    assert await core.append("tick", b"private") == 1
    assert await received(heard) == []


async def test_listen_in_a_queue_group(agent: BusClient) -> None:
    await agent.connection.subscribe("tocsin.clock.sync", queue="candidates")
    await flushed(agent.connection)
    assert "permissions violation for subscription" in await agent.denied()


async def test_see_the_traffic_of_core(core: BusClient, agent: BusClient) -> None:
    inboxes = await agent.subscribe("_INBOX.>")
    await core.publish("_INBOX.core", b"an answer within CORE")
    await core.ledger_state()  # a request with an inbox of its own
    assert await received(inboxes) == []


async def test_see_what_core_publishes_under_other_names(core: BusClient, agent: BusClient) -> None:
    tail = await agent.subscribe(EDGE_SUBJECTS)
    for subject in ("edge.reports", "edge", "tocsin.ledger", "commands.revoke"):
        await core.publish(subject, b"private")
    assert await received(tail) == []


async def test_core_does_not_see_the_inboxes_of_edge(core: BusClient, agent: BusClient) -> None:
    inboxes = await core.subscribe("_INBOX.>")
    await agent.publish(DIRECT_GET, b'{"seq": 1}', reply="_INBOX.agent")
    assert await received(inboxes) == []
