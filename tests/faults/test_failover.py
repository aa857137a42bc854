"""Three issuers, of which any serves and one appends: the next one takes over, under load."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path

from tests.faults.heartbeats import active_clock, first_from_another
from tests.faults.issuer_process import IssuerProcess
from tests.faults.load import logging_out
from tests.faults.stack import Stack, comes_to, running_stack, verdict
from tocsin_revocation_bus.core.replica import AgentState
from tocsin_revocation_bus.tasks import end
from tocsin_schemas.events import SessionsRevoked
from tocsin_schemas.keyset import Policy

_POLICY = Policy(lease_ms=30_000, heartbeat_ms=1000)
_WITHIN_S = 3 * _POLICY.heartbeat_ms / 1000 + 2
_CLIENTS = 6


async def active_of(issuers: list[IssuerProcess]) -> IssuerProcess:
    """The one from which a heartbeat comes next; nothing is held up."""
    holds = {one.nats.hold(b"PUB tocsin.ledger.heartbeat "): one for one in issuers if one.process}
    for hold in holds:
        hold.release()
    seen = {asyncio.create_task(hold.reached.wait()): one for hold, one in holds.items()}
    try:
        done, _ = await asyncio.wait(seen, timeout=10, return_when=asyncio.FIRST_COMPLETED)
        return seen[done.pop()]
    finally:
        await end(*seen)


async def test_two_kills_under_load_lose_nothing_and_do_nothing_twice(tmp_path: Path) -> None:
    """Every logout that was answered 200 or 202 is in the ledger, once, whoever answered it."""
    async with running_stack(tmp_path, _POLICY) as stack:
        issuers = [await stack.issuer(name) for name in "abc"]
        async with (
            stack.agent() as agent,
            stack.heartbeats() as heard,
            logging_out(stack, issuers, _CLIENTS) as load,
        ):
            clocks: list[str] = []
            for _ in range(2):
                await load.until_promised(30)
                clocks.append(await active_clock(heard))
                (await active_of(issuers)).kill()
                killed = time.monotonic()
                took_over = await first_from_another(heard, *clocks, within_s=_WITHIN_S)
                assert took_over - killed <= _WITHIN_S
            await load.until_promised(30)
            assert agent.status().state is AgentState.LIVE
        await _is_whole(stack, await active_of(issuers), load.promised_tokens())
        assert {0, 200} <= {answer.status for answer, _, _ in load.answers}, "nothing was cut short"
        events = await stack.events()
        told = {answer.members["event_id"] for answer, _, _ in load.promised}
        assert told - {event.id for event in events} == set()
        ended = [event for event in events if isinstance(event, SessionsRevoked)]
        times = Counter(one.sid for event in ended for one in event.sessions)
        assert {times[sid] for _, _, sid in load.promised} == {1}
        assert max(times.values()) == 1, "what was not promised happened once, or not at all"


async def _is_whole(stack: Stack, active: IssuerProcess, tokens: list[str]) -> None:
    """An agent that starts now reads one chain, with all of it in."""
    last, _ = stack.token()
    assert (await stack.log_out(active, last)).status == 200
    async with stack.agent() as newcomer:
        await comes_to(newcomer, last, "session_revoked")
        for token in tokens:
            assert await verdict(newcomer, token) == "session_revoked"
        assert await verdict(newcomer, stack.token()[0]) == "accepted"
