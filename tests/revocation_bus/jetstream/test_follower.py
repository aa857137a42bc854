"""An agent's connection to the ledger over outages, new clocks and long gaps."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tests.revocation_bus.jetstream.issuer import LEASE_S, TestIssuer
from tests.support.keys import signer
from tocsin_revocation_bus.clocks import lease_clock
from tocsin_revocation_bus.core.replica import AgentState, Status
from tocsin_revocation_bus.jetstream import clock_sync
from tocsin_revocation_bus.jetstream.follower import Follower


@asynccontextmanager
async def live(issuer: TestIssuer, changes: list[Status] | None = None) -> AsyncIterator[Follower]:
    follower = issuer.follower(changes)
    await issuer.beat()
    await follower.start()
    try:
        assert await follower.wait_live(5)
        yield follower
    finally:
        await follower.stop()


async def until(condition: Callable[[], bool], issuer: TestIssuer | None = None) -> bool:
    """Wait for ``condition``, while ``issuer``, if there is one, beats."""
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            return False
        if issuer is not None and issuer.client.is_connected:
            await issuer.beat()
        await asyncio.sleep(0.05)
    return True


async def beat_on(issuer: TestIssuer) -> None:
    """Beat for longer than agents that hold a lease put off asking for the time."""
    for _ in range(20):
        await issuer.beat()
        await asyncio.sleep(LEASE_S / 4 / 15)


def proven_after(follower: Follower, moment: int) -> bool:
    proven = follower.replica.lease.proven_at
    return proven is not None and proven > moment


def head_n(follower: Follower) -> int:
    head = follower.replica.head
    return 0 if head is None else head.n


def requests(follower: Follower) -> int:
    """How often it has asked for the time, whether anybody heard it or not; it remembers eight."""
    return len(follower.replica._nonces)


async def test_live_again_after_a_restart_of_the_server_without_asking_for_the_time(
    issuer: TestIssuer,
) -> None:
    async with live(issuer) as follower:
        await beat_on(issuer)  # until no further answer is waited for
        assert (issuer.asked, requests(follower)) == (1, 1)
        issuer.nats.kill()
        killed = lease_clock()
        assert await until(lambda: not follower.connected)
        issuer.nats.start()
        assert await until(lambda: issuer.client.is_connected)
        await issuer.revoke("while-away")
        assert await until(lambda: proven_after(follower, killed), issuer)
        await beat_on(issuer)
        assert follower.status() == Status(AgentState.LIVE, "")
        assert head_n(follower) == 2
        assert requests(follower) == 1


async def test_a_new_clock_is_asked_for_once_however_many_heartbeats_run_on_it(
    issuer: TestIssuer,
) -> None:
    async with live(issuer) as follower:
        asked, issuer.clock_id = issuer.asked, "clock-bbbbbbbbbbbb"
        changed, issuer.think_s = lease_clock(), 0.3
        assert await until(lambda: proven_after(follower, changed), issuer)
        await beat_on(issuer)
        assert issuer.asked == asked + 1


async def test_an_answer_counts_however_late_it_comes(
    issuer: TestIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an issuer that needs a second for each answer would never satisfy anybody."""
    monkeypatch.setattr(clock_sync, "ANSWER_S", 0.05)
    issuer.think_s = 0.8
    async with live(issuer) as follower:
        assert requests(follower) > 1
        assert follower.status().state is AgentState.LIVE


async def test_what_was_missed_is_read_back_in_order(issuer: TestIssuer) -> None:
    async with live(issuer) as follower:
        await follower.stop()
        for number in range(20):
            await issuer.revoke(f"jti-{number}")
            await issuer.beat()
        await follower.start()
        assert await until(lambda: head_n(follower) == 21)
        assert not follower.replica.noise


async def test_of_the_heartbeats_read_back_the_newest_good_one_renews(issuer: TestIssuer) -> None:
    """One that nobody trusted has signed stands after it, and must not hide it."""
    async with live(issuer) as follower:
        await follower.stop()
        stopped = lease_clock()
        await asyncio.sleep(0.1)  # a proof is older than its heartbeat by the sync's round trip
        await issuer.beat()
        forged = issuer.ledger.beat(signer=signer("Ed25519", "stranger"))
        await issuer.publish("heartbeat", forged)
        await follower.start()
        assert await until(lambda: proven_after(follower, stopped))
        assert follower.replica.noise.total() == 1


async def test_a_lease_that_lapses_in_silence_is_noticed_when_it_lapses(issuer: TestIssuer) -> None:
    changes: list[Status] = []
    async with live(issuer, changes) as follower:
        proven = follower.replica.lease.proven_at
        assert proven is not None
        stale = Status(AgentState.STALE, "lease_lapsed")
        assert await until(lambda: stale in changes)
        assert 0 < lease_clock() - proven - LEASE_S * 1e9 < 0.5e9
