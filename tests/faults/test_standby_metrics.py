"""Of two candidates the metrics show which one appends, before and after it is killed."""

from __future__ import annotations

from tests.faults.issuer_process import IssuerProcess
from tests.faults.stack import Stack
from tests.support.scrape import scrape_at, seen_at


def at(issuer: IssuerProcess) -> str:
    return f"http://127.0.0.1:{issuer.internal_port}"


async def test_the_active_one_and_the_standby(stack: Stack) -> None:
    first, other = await stack.issuer("a"), await stack.issuer("b")
    token, _ = stack.token()
    assert (await stack.log_out(other, token)).status == 200
    active = await scrape_at(stack.http, at(first))
    standby = await seen_at(stack.http, at(other), lambda seen: seen("head") == active("head"))
    assert (active("sequencer_active"), standby("sequencer_active")) == (1, 0)
    assert active("events_committed_total", kind="sessions-revoked") == 1
    assert standby("records_committed_total") == 0
    assert not standby.has("heartbeat_age_seconds")

    first.kill()
    seen = await seen_at(stack.http, at(other), lambda seen: seen("sequencer_active") == 1)
    assert seen("sequencer_step_downs_total") == 0
    assert seen.has("heartbeat_age_seconds")
    token, _ = stack.token()
    assert (await stack.log_out(other, token)).status == 200
    assert (await scrape_at(stack.http, at(other)))("records_committed_total") == 1
