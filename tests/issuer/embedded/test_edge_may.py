"""What an agent can do with its credentials: follow the ledger, read it, ask for the time, and have
a command answered.
"""

from __future__ import annotations

from nats.aio.msg import Msg

from tests.issuer.embedded.bus import BusClient, received
from tests.support.flushed import flushed
from tocsin_schemas.subjects import CLOCK_SYNC, EDGE_SUBJECTS, REVOCATION_COMMANDS


async def test_a_republished_record_arrives_live(core: BusClient, agent: BusClient) -> None:
    tail = await agent.subscribe(EDGE_SUBJECTS)
    sequence = await core.append("tick", b"record")
    message = await tail.next_msg(timeout=10)
    assert (message.subject, message.data) == ("edge.ledger.tick", b"record")
    assert message.headers is not None
    assert message.headers["Nats-Sequence"] == str(sequence)
    assert message.headers["Nats-Last-Sequence"] == str(sequence - 1)
    assert agent.errors.empty()


async def test_a_batched_direct_get_returns_every_message(
    core: BusClient, agent: BusClient
) -> None:
    records = [b"record %d" % n for n in range(12)]
    for record in records:
        await core.append("tick", record)
    messages = await agent.read_ledger()
    assert [message.data for message in messages] == records
    assert [(message.headers or {})["Nats-Sequence"] for message in messages] == [
        str(sequence) for sequence in range(1, 13)
    ]
    assert agent.errors.empty()


async def test_a_clock_sync_is_answered_by_two_candidates(
    core: BusClient, agent: BusClient
) -> None:
    async def first(request: Msg) -> None:
        await request.respond(b"first answers " + request.data)

    async def second(request: Msg) -> None:
        await request.respond(b"second answers " + request.data)

    await core.connection.subscribe(CLOCK_SYNC, cb=first)
    await core.connection.subscribe(CLOCK_SYNC, cb=second)
    await flushed(core.connection)

    inbox = agent.connection.new_inbox()
    answers = await agent.subscribe(inbox)
    for nonce in (b"one", b"two"):
        await agent.publish(CLOCK_SYNC, nonce, reply=inbox)
        texts = {(await answers.next_msg(timeout=10)).data for _ in range(2)}
        assert texts == {b"first answers " + nonce, b"second answers " + nonce}
    assert agent.errors.empty()


async def test_a_clock_sync_with_no_candidate_is_told_so_at_once(agent: BusClient) -> None:
    inbox = agent.connection.new_inbox()
    answers = await agent.subscribe(inbox)
    await agent.publish(CLOCK_SYNC, b"nonce", reply=inbox)
    message = await answers.next_msg(timeout=10)
    assert (message.headers or {}).get("Status") == "503"


async def test_a_command_is_answered_once_by_whichever_replica_gets_it(
    core: BusClient, agent: BusClient
) -> None:
    async def replica(request: Msg) -> None:
        await request.respond(b"carried out")

    for _ in range(2):
        await core.connection.subscribe(REVOCATION_COMMANDS, queue="replicas", cb=replica)
    await flushed(core.connection)
    answers = await agent.subscribe(agent.connection.new_inbox())
    for _ in range(5):
        await agent.publish(REVOCATION_COMMANDS, b"a command", reply=answers.subject)
    assert [one.data for one in await received(answers)] == [b"carried out"] * 5
    assert agent.errors.empty()
