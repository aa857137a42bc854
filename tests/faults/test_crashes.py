"""An issuer that dies in the middle of a logout: nothing promised is lost, nothing happens twice.

Each row holds the bytes of one message in a proxy, so that the process is at an exact place of its
work when it is killed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.faults.issuer_process import IssuerProcess
from tests.faults.proxy import Hold
from tests.faults.stack import POLICY, Stack, comes_to, jti_and_exp, verdict
from tocsin_issuer.store.journal import Journal
from tocsin_issuer.store.outbox import Outbox
from tocsin_issuer.store.revocations import MAX_AT_ONCE, Revocations
from tocsin_schemas.events import TokensRevoked

_OUTBOX_WRITE = b'"reason":"logout"'
_JOURNAL_WRITE = b"\r\neyJ"  # nothing else that goes to Redis is a signed record
_SETTLEMENT = b"tocsin:outbox\r\n$17\r\ntocsin:checkpoint"
_PUBLISH = b"PUB tocsin.ledger.sessions-revoked "


@dataclass(frozen=True)
class Moment:
    """``holds`` are all reached before the process is killed. ``told`` is the status of the answer
    that the client had by then, 0 for none; ``kept`` whether the revocation must have survived.
    """

    holds: Callable[[IssuerProcess], list[Hold]]
    told: int
    kept: bool


MOMENTS = {
    "before the outbox write": Moment(lambda one: [one.redis.hold(_OUTBOX_WRITE)], 0, False),
    "after the outbox write, before the journal": Moment(
        lambda one: [one.redis.hold(_JOURNAL_WRITE)], 202, True
    ),
    "after the journal, before the publish": Moment(
        lambda one: [one.nats.hold(_PUBLISH)], 202, True
    ),
    "after the publish, before the PubAck is seen": Moment(
        lambda one: [one.nats.hold(_PUBLISH, stops="server")], 202, True
    ),
    "after the PubAck, before it is settled": Moment(
        lambda one: [one.redis.hold(_SETTLEMENT)], 200, True
    ),
    "after the PubAck, before the answer": Moment(
        lambda one: [
            one.redis.hold(_SETTLEMENT),
            one.answers.hold(b'"status":"committed"', sender="server"),
        ],
        0,
        True,
    ),
}


@pytest.mark.parametrize("name", MOMENTS)
async def test_a_crash_in_the_middle_of_a_logout(stack: Stack, name: str) -> None:
    moment = MOMENTS[name]
    issuer = await stack.issuer()
    (leaving, sid), (staying, _) = stack.token(), stack.token()
    async with stack.agent() as agent:
        assert await verdict(agent, leaving) == "accepted"
        holds = moment.holds(issuer)
        asked = asyncio.create_task(stack.log_out(issuer, leaving))
        async with asyncio.timeout(5):
            for hold in holds:
                await hold.reached.wait()
        if moment.told:
            assert (await asked).status == moment.told
        issuer.kill()
        await issuer.answers.cut()
        assert (await asked).status == moment.told
        before = await stack.times_revoked(sid)

        restarted = await stack.issuer()
        if moment.kept:
            await comes_to(agent, leaving, "session_revoked")
        else:
            assert before == 0
            assert await verdict(agent, leaving) == "accepted"
            assert await stack.times_revoked(sid) == 0
        # The next logout is the next record, so all that was left lies before it.
        last, last_sid = stack.token()
        assert (await stack.log_out(restarted, last)).status == 200
        await comes_to(agent, last, "session_revoked")
        assert await stack.times_revoked(sid) == (1 if moment.kept else 0)
        assert await stack.times_revoked(last_sid) == 1
        assert await verdict(agent, staying) == "accepted"


async def test_a_publish_that_arrives_when_its_sender_is_dead_and_replaced(stack: Stack) -> None:
    """The network may keep the message for as long as it likes; the fence does not let it in."""
    issuer = await stack.issuer()
    leaving, sid = stack.token()
    async with stack.agent() as agent:
        assert await verdict(agent, leaving) == "accepted"
        hold = issuer.nats.hold(_PUBLISH)
        answer = await stack.log_out(issuer, leaving)
        assert (answer.status, hold.reached.is_set()) == (202, True)
        issuer.kill()
        restarted = await stack.issuer()
        await comes_to(agent, leaving, "session_revoked")
        length = len(await stack.ledger())
        hold.release()
        await asyncio.sleep(0.5)
        assert len(await stack.ledger()) == length
        assert (await stack.log_out(restarted, stack.token()[0])).status == 200
        assert await stack.times_revoked(sid) == 1
        assert await verdict(agent, stack.token()[0]) == "accepted"


async def test_a_crash_with_one_record_on_its_way_and_the_next_one_journaled(stack: Stack) -> None:
    """More waits than one record holds, so the next one is built upon the one that is held."""
    issuer = await stack.issuer()
    (leaving, _), (staying, _) = stack.token(), stack.token()
    async with stack.agent() as agent, stack.store() as redis:
        assert await verdict(agent, leaving) == "accepted"
        hold = issuer.nats.hold(b"PUB tocsin.ledger.tokens-revoked ")
        others = [stack.token()[0] for _ in range(4 * MAX_AT_ONCE)]
        tokens = [jti_and_exp(token) for token in (*others, leaving)]
        revocations = Revocations(redis, Outbox(redis), max_token_life_s=3600)
        for start in range(0, len(tokens), MAX_AT_ONCE):
            await revocations.revoke_tokens(tokens[start : start + MAX_AT_ONCE], "test", "admin")
        async with asyncio.timeout(5):
            await hold.reached.wait()
            in_stream, journaled = len(await stack.ledger()), 0
            while journaled < in_stream + 2:
                await asyncio.sleep(0.01)
                journaled = await Journal(redis).newest()
        assert await verdict(agent, leaving) == "accepted"
        issuer.kill()
        await issuer.nats.cut()
        await stack.issuer()
        await comes_to(agent, leaving, "token_revoked")
        await comes_to(agent, others[0], "token_revoked")
        assert await verdict(agent, staying) == "accepted"
        revoked = [
            token.jti
            for event in await stack.events()
            if isinstance(event, TokensRevoked)
            for token in event.tokens
        ]
        assert sorted(revoked) == sorted(jti for jti, _ in tokens)  # each of them once


async def test_a_settlement_that_is_not_answered_is_made_again(stack: Stack) -> None:
    """The process lives on; what is in the ledger and still in the outbox is not read again."""
    issuer = await stack.issuer()
    hold = issuer.redis.hold(_SETTLEMENT)
    leaving, sid = stack.token()
    assert (await stack.log_out(issuer, leaving)).status == 200
    async with asyncio.timeout(5):
        await hold.reached.wait()
    last, last_sid = stack.token()
    while (await stack.log_out(issuer, last)).status != 200:  # 202 until Redis is given up
        last, last_sid = stack.token()
    assert await stack.times_revoked(sid) == await stack.times_revoked(last_sid) == 1


async def test_an_issuer_that_was_away_for_longer_than_heartbeats_are_kept(stack: Stack) -> None:
    """The stream's last sequence is that of a heartbeat that is gone: no more can be read."""
    issuer = await stack.issuer()
    leaving, sid = stack.token()
    assert (await stack.log_out(issuer, leaving)).status == 200
    issuer.kill()
    await asyncio.sleep(POLICY.lease_ms / 1000 + 2.5)
    issuer = await stack.issuer()
    last, last_sid = stack.token()
    assert (await stack.log_out(issuer, last)).status == 200
    async with stack.agent() as agent:
        await comes_to(agent, last, "session_revoked")
    assert await stack.times_revoked(sid) == await stack.times_revoked(last_sid) == 1
