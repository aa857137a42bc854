"""Two candidates: the other one takes over in time, and of two that think they lead, one does."""

from __future__ import annotations

import asyncio
import signal
import time

from tests.faults.heartbeats import active_clock, clock_of, first_from_another
from tests.faults.stack import POLICY, TAKEOVER_S, Stack, comes_to, verdict

_PUBLISH = b"PUB tocsin.ledger."


async def test_a_paused_sequencer_is_replaced_and_steps_down_when_it_goes_on(stack: Stack) -> None:
    paused = await stack.issuer("a")
    other = await stack.issuer("b")
    async with stack.agent() as agent, stack.heartbeats() as heard:
        old = await active_clock(heard)
        paused.signal(signal.SIGSTOP)
        stopped = time.monotonic()
        took_over = await first_from_another(heard, old, within_s=TAKEOVER_S)
        assert took_over - stopped <= TAKEOVER_S

        meanwhile, sid = stack.token()
        assert (await stack.log_out(other, meanwhile)).status == 200
        await comes_to(agent, meanwhile, "session_revoked")
        length = len(await stack.ledger())
        new = await active_clock(heard)
        resumed = time.monotonic()
        paused.signal(signal.SIGCONT)
        await asyncio.sleep(5 * POLICY.heartbeat_ms / 1000)
        assert len(await stack.ledger()) == length
        # What it had published before it was stopped, it had published; since then, nothing.
        assert {clock_of(beat) for at, beat in heard if at > took_over} == {new}
        assert heard[-1][0] > resumed
        assert await verdict(agent, stack.token()[0]) == "accepted"
        # It serves on, as a candidate: what it takes in, the other one commits.
        late, late_sid = stack.token()
        assert (await stack.log_out(paused, late)).status == 200
        await comes_to(agent, late, "session_revoked")
        assert await stack.times_revoked(sid) == await stack.times_revoked(late_sid) == 1


async def test_two_that_both_publish_one_record_leave_it_in_the_ledger_once(stack: Stack) -> None:
    """The first one is stopped with a journaled record on its way; the other finds it there."""
    paused = await stack.issuer("a")
    other = await stack.issuer("b")
    async with stack.agent() as agent, stack.heartbeats() as heard:
        old = await active_clock(heard)
        hold = paused.nats.hold(_PUBLISH + b"sessions-revoked ")
        leaving, sid = stack.token()
        asked = asyncio.create_task(stack.log_out(paused, leaving))
        async with asyncio.timeout(5):
            await hold.reached.wait()
        paused.signal(signal.SIGSTOP)
        await first_from_another(heard, old, within_s=TAKEOVER_S)
        await comes_to(agent, leaving, "session_revoked")
        hold.release()  # the old message arrives, and then its sender wakes up
        await asyncio.sleep(0.1)
        paused.signal(signal.SIGCONT)
        assert (await asked).status in (200, 202)
        last, last_sid = stack.token()
        assert (await stack.log_out(other, last)).status == 200
        await comes_to(agent, last, "session_revoked")
        assert await stack.times_revoked(sid) == await stack.times_revoked(last_sid) == 1
        assert await verdict(agent, stack.token()[0]) == "accepted"
        assert await active_clock(heard) != old


async def test_what_a_paused_sequencer_had_read_is_not_committed_again(stack: Stack) -> None:
    """The answer of its outbox reaches it when the other one has committed what is in it."""
    paused = await stack.issuer("a")
    other = await stack.issuer("b")
    async with stack.agent() as agent, stack.heartbeats() as heard:
        old = await active_clock(heard)
        hold = paused.redis.hold(b'"reason":"logout"', sender="server")
        leaving, sid = stack.token()
        asked = asyncio.create_task(stack.log_out(other, leaving))
        async with asyncio.timeout(5):
            await hold.reached.wait()
        paused.signal(signal.SIGSTOP)
        await first_from_another(heard, old, within_s=TAKEOVER_S)
        await comes_to(agent, leaving, "session_revoked")
        paused.signal(signal.SIGCONT)
        await asyncio.sleep(3 * POLICY.heartbeat_ms / 1000)  # it has followed, and stepped down
        hold.release()
        await asyncio.sleep(0.3)
        assert (await asked).status in (200, 202)
        last, last_sid = stack.token()
        assert (await stack.log_out(other, last)).status == 200
        assert (await stack.log_out(other, stack.token()[0])).status == 200
        assert await stack.times_revoked(sid) == await stack.times_revoked(last_sid) == 1
