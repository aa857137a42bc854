"""A store that comes back as it was some time ago."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from tests.faults.older_valkey import OlderValkey, answer_of
from tests.faults.stack import PATIENCE_S, POLICY, Stack, comes_to, verdict
from tocsin_issuer.store import names
from tocsin_issuer.store.connection import connect as connect_redis
from tocsin_issuer.store.journal import MAX_BYTES, Journal
from tocsin_schemas.errors import AgentStale


@pytest.mark.parametrize("issuer_dies", [False, True])
async def test_nats_goes_back_and_gets_the_same_records_again(
    stack: Stack, issuer_dies: bool
) -> None:
    issuer = await stack.issuer()
    store = stack.nats.data_dir.path / "jetstream"
    async with stack.agent() as agent:
        first, _ = stack.token()
        assert (await stack.log_out(issuer, first)).status == 200
        older = [one.record.text for one in await stack.ledger()]
        stack.nats.kill()
        shutil.copytree(store, stack.folder / "older")
        stack.nats.start()
        logouts = [stack.token() for _ in range(3)]
        for token, _ in logouts:
            assert (await stack.log_out(issuer, token)).accepted
            await comes_to(agent, token, "session_revoked")
        before = [one.record.text for one in await stack.ledger()]

        stack.nats.kill()
        if issuer_dies:
            issuer.kill()
        shutil.rmtree(store)
        shutil.copytree(stack.folder / "older", store)
        stack.nats.start()
        assert before[: len(older)] == older
        assert len(older) < len(before)
        if issuer_dies:
            issuer = await stack.issuer()

        last, last_sid = stack.token()
        assert (await stack.log_out(issuer, last)).accepted
        await comes_to(agent, last, "session_revoked")  # the agent that had seen the newer ones
        after = [one.record.text for one in await stack.ledger()]
        assert after[: len(before)] == before
        for _, sid in [*logouts, ("", last_sid)]:
            assert await stack.times_revoked(sid) == 1
        async with stack.agent() as newcomer:
            for token, _ in logouts:
                assert await verdict(newcomer, token) == "session_revoked"
            assert await verdict(newcomer, stack.token()[0]) == "accepted"
        assert await verdict(agent, stack.token()[0]) == "accepted"


@pytest.mark.parametrize("trimmed", [0, 1, 4])
async def test_nats_goes_back_further_than_a_replica_remembers(stack: Stack, trimmed: int) -> None:
    """The journal knows what stands in the stream, and where that is older than all it keeps, what
    its oldest record follows.
    """
    issuer = await stack.issuer(forgetful=True)
    store = stack.nats.data_dir.path / "jetstream"
    for _ in range(3):
        assert (await stack.log_out(issuer, stack.token()[0])).status == 200
    stack.nats.kill()
    shutil.copytree(store, stack.folder / "older")
    stack.nats.start()
    older = len(await stack.ledger())
    for _ in range(8):
        while (await stack.log_out(issuer, stack.token()[0])).status != 200:
            pass
    before = [one.record.text for one in await stack.ledger()]
    async with _redis(stack) as redis:
        for n in range(1, trimmed + 1):
            await redis.xdel(names.JOURNAL, f"{n}-0")
    assert trimmed <= older == 4

    stack.nats.kill()
    shutil.rmtree(store)
    shutil.copytree(stack.folder / "older", store)
    stack.nats.start()
    last, last_sid = stack.token()
    assert (await stack.log_out(issuer, last)).accepted
    async with stack.agent() as agent:
        await comes_to(agent, last, "session_revoked")
    assert [one.record.text for one in await stack.ledger()][: len(before)] == before
    assert await stack.times_revoked(last_sid) == 1


async def test_nats_goes_back_further_than_the_journal_reaches(stack: Stack) -> None:
    """Records in between are lost to everybody, so nothing is appended and nobody gets a lease;
    what is accepted meanwhile waits. With the newer store all goes on.
    """
    issuer = await stack.issuer()
    store, older = stack.nats.data_dir.path / "jetstream", stack.folder / "older"
    newer = stack.folder / "newer"
    async with stack.agent() as agent, _redis(stack) as redis:
        stack.nats.kill()
        shutil.copytree(store, older)
        stack.nats.start()
        await redis.set(names.JOURNAL_BYTES, 2 * MAX_BYTES)  # from now on only the newest stays
        logouts = [stack.token() for _ in range(3)]
        for token, _ in logouts:
            assert (await stack.log_out(issuer, token)).accepted
            await comes_to(agent, token, "session_revoked")
        before = [one.record.text for one in await stack.ledger()]
        kept = await Journal(redis).after(0)
        assert [entry.text for entry in kept] == before[-1:]

        stack.nats.kill()
        store.rename(newer)
        shutil.copytree(older, store)
        stack.nats.start()
        last, last_sid = stack.token()
        deadline = time.monotonic() + PATIENCE_S
        while "cannot append: journal_too_short" not in issuer.log:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        assert (await stack.log_out(issuer, last)).status == 202
        await asyncio.sleep(POLICY.bound_ms / 1000)
        async with stack.heartbeats() as heard:
            await asyncio.sleep(2 * POLICY.heartbeat_ms / 1000)
        assert heard == []
        with pytest.raises(AgentStale):
            agent.verify(stack.token()[0])
        left = [one.record.text for one in await stack.ledger()]
        assert left == before[: len(left)]
        assert len(left) < len(before) - 1

        stack.nats.kill()
        shutil.rmtree(store)
        newer.rename(store)
        stack.nats.start()
        await comes_to(agent, last, "session_revoked")
        after = [one.record.text for one in await stack.ledger()]
        assert after[: len(before)] == before
        for _, sid in [*logouts, ("", last_sid)]:
            assert await stack.times_revoked(sid) == 1


@asynccontextmanager
async def _redis(stack: Stack) -> AsyncIterator[Redis]:
    redis = connect_redis(stack.valkey.url)
    try:
        yield redis
    finally:
        await redis.aclose()


async def test_redis_goes_back_to_when_a_record_was_not_settled_yet(stack: Stack) -> None:
    """Its journal reaches the ledger's head, and still its outbox holds what is in the ledger."""
    issuer = await stack.issuer()
    leaving, sid = stack.token()
    hold = issuer.redis.hold(b"tocsin:outbox\r\n$17\r\ntocsin:checkpoint")
    assert (await stack.log_out(issuer, leaving)).status == 200
    async with asyncio.timeout(5):
        await hold.reached.wait()
    older = OlderValkey(stack, live=True)
    hold.release()
    async with stack.store() as redis, asyncio.timeout(5):
        waiting = 1
        while waiting:
            await asyncio.sleep(0.02)
            waiting = await redis.xlen(names.OUTBOX)
    older.restore()
    last, last_sid = stack.token()
    while (await stack.log_out(issuer, last)).status != 200:
        last, last_sid = stack.token()
    assert await stack.times_revoked(sid) == await stack.times_revoked(last_sid) == 1


async def test_refresh_waits_until_a_redis_that_went_back_has_the_ledger_again(
    stack: Stack,
) -> None:
    """Sessions that had ended are back, used refresh tokens good again, and the outbox holds what
    is in the ledger: none of it may count.
    """
    issuer = await stack.issuer()
    ended, kept = await stack.log_in(issuer), await stack.log_in(issuer)
    # Read and not settled: its revocation waits in the older outbox, and is in the ledger.
    twice, twice_sid = stack.token()
    hold = issuer.redis.hold(b"tocsin:outbox\r\n$17\r\ntocsin:checkpoint")
    assert (await stack.log_out(issuer, twice)).status == 200
    async with asyncio.timeout(5):
        await hold.reached.wait()
    issuer.kill()
    stack.valkey.kill()
    files = stack.valkey.data_dir.path / "appendonlydir"
    shutil.copytree(files, stack.folder / "older")
    stack.valkey.start()
    issuer = await stack.issuer()

    async with stack.agent() as agent:
        used = await stack.refresh(issuer, kept["refresh_token"])
        assert used.status == 200
        lost = [stack.token() for _ in range(3)]
        for token in [ended["access_token"], *(token for token, _ in lost)]:
            assert (await stack.log_out(issuer, token)).status == 200
        before = [one.record.text for one in await stack.ledger()]

        # NATS says nothing, so that nobody can know the ledger's head when Redis comes back.
        stack.valkey.kill()
        shutil.rmtree(files)
        shutil.copytree(stack.folder / "older", files)
        stack.nats.pause()
        stack.valkey.start()
        refused = await stack.refresh(issuer, ended["refresh_token"])
        assert (refused.status, refused.members.get("error")) == (503, "temporarily_unavailable")
        assert refused.members["code"] == "store_went_back"
        stack.nats.resume()

        for token in (ended["refresh_token"], kept["refresh_token"]):
            assert await answer_of(stack, issuer, token) == (400, "invalid_grant")
        newer = used.members["refresh_token"]
        assert await answer_of(stack, issuer, newer) == (400, "invalid_grant")
        last, last_sid = stack.token()
        assert (await stack.log_out(issuer, last)).accepted
        await comes_to(agent, last, "session_revoked")
        ledger = await stack.ledger()
        assert [one.record.text for one in ledger][: len(before)] == before
        news = [event for one in ledger[len(before) :] for event in one.record.events]
        assert [event.reason for event in news] == ["logout"]
        for sid in (twice_sid, ended["session_id"], last_sid, *(sid for _, sid in lost)):
            assert await stack.times_revoked(sid) == 1
        again = await stack.log_in(issuer)
        assert (await stack.refresh(issuer, again["refresh_token"])).status == 200
        async with _redis(stack) as redis:
            journaled = [entry.text for entry in await Journal(redis).after(0)]
        assert journaled == [one.record.text for one in ledger]
