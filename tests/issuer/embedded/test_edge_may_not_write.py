"""What an agent cannot do, whatever it sends: each attempt is shown to have had no effect."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from tests.issuer.embedded.bus import SILENCE, BusClient, received
from tests.support.flushed import flushed
from tocsin_schemas.subjects import (
    CLOCK_SYNC,
    DIRECT_GET,
    EDGE_SUBJECTS,
    LEDGER_STREAM,
    REVOCATION_COMMANDS,
)

BATCH = json.dumps({"seq": 1, "batch": 100, "next_by_subj": ">"}).encode()
UNTOUCHED = {"messages": 3, "last_seq": 3, "consumer_count": 0}

FORBIDDEN_REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("STREAM.CREATE.MINE", {"name": "MINE", "subjects": ["mine.>"]}),
    (f"STREAM.UPDATE.{LEDGER_STREAM}", {"name": LEDGER_STREAM, "max_age": 1_000_000_000}),
    (f"STREAM.INFO.{LEDGER_STREAM}", {}),
    (f"STREAM.PURGE.{LEDGER_STREAM}", {}),
    (f"STREAM.DELETE.{LEDGER_STREAM}", {}),
    (f"STREAM.MSG.DELETE.{LEDGER_STREAM}", {"seq": 1}),
    (f"STREAM.MSG.GET.{LEDGER_STREAM}", {"seq": 1}),
    (f"STREAM.SNAPSHOT.{LEDGER_STREAM}", {"deliver_subject": "_INBOX.snapshot"}),
    ("STREAM.LIST", {}),
    ("INFO", {}),
    (
        f"CONSUMER.CREATE.{LEDGER_STREAM}",
        {"stream_name": LEDGER_STREAM, "config": {"ack_policy": "none"}},
    ),
    (
        f"CONSUMER.DURABLE.CREATE.{LEDGER_STREAM}.mine",
        {"stream_name": LEDGER_STREAM, "config": {"durable_name": "mine", "ack_policy": "none"}},
    ),
    (f"DIRECT.GET.{LEDGER_STREAM}.tocsin.ledger.tick", {}),
    ("DIRECT.GET.OTHER", {"seq": 1}),
]


@pytest.fixture(autouse=True)
async def three_records(core: BusClient) -> AsyncIterator[None]:
    """Before each attempt the ledger holds three records; after it, the same three."""
    records = [b"record %d" % n for n in range(3)]
    for record in records:
        await core.append("tick", record)
    yield
    assert await core.ledger_state() == UNTOUCHED
    assert [message.data for message in await core.read_ledger()] == records
    streams = await core.api("STREAM.NAMES", {})
    assert streams["streams"] == [LEDGER_STREAM]


async def test_publish_into_the_ledger(core: BusClient, agent: BusClient) -> None:
    heard = await core.subscribe("tocsin.ledger.>")
    await agent.publish("tocsin.ledger.tick", b"forged")
    assert "permissions violation for publish" in await agent.denied()
    assert await received(heard) == []


@pytest.mark.parametrize(
    "subject", ["tocsin.revocations", REVOCATION_COMMANDS + ".x", "tocsin.revocations.other"]
)
async def test_publish_beside_the_subject_of_commands(
    core: BusClient, agent: BusClient, subject: str
) -> None:
    heard = await core.subscribe("tocsin.revocations.>")
    await agent.publish(subject, b"{}")
    assert "permissions violation for publish" in await agent.denied()
    assert await received(heard) == []


async def test_publish_to_other_agents(
    core: BusClient, agent: BusClient, other_agent: BusClient
) -> None:
    tail = await other_agent.subscribe(EDGE_SUBJECTS)
    origin = await core.subscribe(EDGE_SUBJECTS)
    await agent.publish("edge.ledger.tick", b"forged")
    assert "permissions violation for publish" in await agent.denied()
    assert await received(tail) == []
    assert await received(origin) == []


async def test_publish_into_an_inbox(agent: BusClient, other_agent: BusClient) -> None:
    inbox = await other_agent.subscribe(other_agent.connection.new_inbox())
    await agent.publish(inbox.subject, b"a false answer")
    assert "permissions violation for publish" in await agent.denied()
    assert await received(inbox) == []


@pytest.mark.parametrize(("subject", "request_fields"), FORBIDDEN_REQUESTS)
async def test_call_the_jetstream_api(
    agent: BusClient, subject: str, request_fields: dict[str, Any]
) -> None:
    answers = await agent.subscribe(agent.connection.new_inbox())
    payload = json.dumps(request_fields).encode()
    await agent.publish(f"$JS.API.{subject}", payload, reply=answers.subject)
    assert "permissions violation for publish" in await agent.denied()
    assert await received(answers) == []


@pytest.mark.parametrize("subject", ["$JS.API.INFO", "$SYS.REQ.USER.INFO", "$SYS.REQ.SERVER.PING"])
async def test_ask_the_server_about_itself(agent: BusClient, subject: str) -> None:
    answers = await agent.subscribe(agent.connection.new_inbox())
    await agent.publish(subject, b"", reply=answers.subject)
    assert "permissions violation for publish" in await agent.denied()
    assert await received(answers) == []


@pytest.mark.parametrize("reply", ["tocsin.ledger.tick", "$JS.API.STREAM.DELETE.TOCSIN_LEDGER"])
@pytest.mark.parametrize("service", [DIRECT_GET, CLOCK_SYNC, REVOCATION_COMMANDS])
async def test_have_an_answer_written_into_the_ledger(
    core: BusClient, agent: BusClient, service: str, reply: str
) -> None:
    """Reply subjects are not checked against permissions: the account's border must hold."""
    answered: asyncio.Queue[Msg] = asyncio.Queue()

    async def candidate(request: Msg) -> None:
        await request.respond(b"an answer")
        answered.put_nowait(request)

    for subject in (CLOCK_SYNC, REVOCATION_COMMANDS):
        await core.connection.subscribe(subject, cb=candidate)
    heard = await core.subscribe(reply)
    await agent.publish(service, BATCH, reply=reply)
    if service != DIRECT_GET:  # it was asked and did answer; only, not into CORE
        request = await asyncio.wait_for(answered.get(), 2)
        assert request.reply.startswith("_R_.")
        await flushed(core.connection)
    assert await received(heard) == []


async def test_have_a_message_trace_written_into_the_ledger(
    core: BusClient, agent: BusClient
) -> None:
    """A client may name a subject for the server's trace events in a header of its message."""
    heard = await core.subscribe("tocsin.>")
    headers = {"Nats-Trace-Dest": "tocsin.ledger.tick"}
    await agent.publish(DIRECT_GET, b'{"seq": 1}', reply="_INBOX.mine", headers=headers)
    assert await received(heard) == []


async def test_reflected_answers_stay_among_agents(
    core: BusClient, agent: BusClient, other_agent: BusClient
) -> None:
    """What NATS cannot forbid within EDGE, and the reason why agents believe signatures alone.

    An agent can make the server repeat stored records to all agents, by naming their tail as its
    reply subject. It can choose no byte of what they get.
    """
    tail = await other_agent.subscribe(EDGE_SUBJECTS)
    origin = await core.subscribe(EDGE_SUBJECTS)
    await agent.publish(DIRECT_GET, BATCH, reply="edge.ledger.tick")
    stored = {message.data for message in await core.read_ledger()}
    reflected = {(await tail.next_msg(timeout=10)).data for _ in range(len(stored) + 1)}
    assert reflected == stored | {b""}  # the last is the end-of-batch mark
    assert await received(origin) == []


async def test_create_a_stream_through_the_client_library(agent: BusClient) -> None:
    """The call times out, or is told that nobody serves it; the denial is at `error_cb`."""
    with pytest.raises((NatsError, NoRespondersError, asyncio.TimeoutError)):
        await agent.connection.jetstream(timeout=SILENCE).add_stream(name="MINE", subjects=["m.>"])
    assert "permissions violation for publish" in await agent.denied()
