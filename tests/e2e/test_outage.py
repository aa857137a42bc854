"""NATS goes away: the lease carries verification for L, then agents refuse, then all recovers."""

import asyncio
import time

import pytest

from tests.e2e.conftest import LEASE_S, POLICY, Stack
from tests.support.rejected import rejected
from tocsin_schemas.errors import AgentStale
from tocsin_verifier_agent import VerifierAgent


async def last_acceptance(agent: VerifierAgent, token: str, until: float) -> float:
    """When the agent last accepted the token, watching until it is stale."""
    last = 0.0
    while time.monotonic() < until:
        try:
            agent.verify(token)
            last = time.monotonic()
        except AgentStale:
            return last
        await asyncio.sleep(0.005)
    raise AssertionError("the agent never went stale")


async def test_a_killed_server_is_survived_within_the_lease_and_not_beyond(stack: Stack) -> None:
    login, leaving = await stack.log_in(), await stack.log_in()
    async with stack.agent() as agent:
        agent.verify(login["access_token"])
        stack.nats.kill()
        killed = time.monotonic()
        agent.verify(login["access_token"])
        answer = await stack.post("/v1/logout", leaving["access_token"])
        assert (answer.status_code, answer.json()["status"]) == (202, "pending")
        last = await last_acceptance(agent, login["access_token"], killed + 3 * LEASE_S)
        assert last - killed <= POLICY.bound_ms / 1000
        assert agent.status().state.value == "stale"
        with pytest.raises(AgentStale):
            agent.verify("not even a token")
        stack.nats.start()
        assert await _live_again(agent, login["access_token"])
        assert await rejected(agent, leaving["access_token"]) == "session_revoked"


async def test_a_cut_off_agent_stops_within_the_bound_of_a_revocation(stack: Stack) -> None:
    """The agent's link dies silently (the server stops answering) right after a PubAck."""
    login = await stack.log_in()
    async with stack.agent() as agent:
        agent.verify(login["access_token"])
        agent._follower._client._transport._io_writer.transport.pause_reading()  # type: ignore[union-attr]
        answer = await stack.post("/v1/logout", login["access_token"])
        acked = time.monotonic()
        assert answer.status_code == 200
        last = await last_acceptance(agent, login["access_token"], acked + 3 * LEASE_S)
        assert last > acked, "the agent was not cut off, so this shows nothing"
        assert last - acked <= POLICY.bound_ms / 1000


async def test_a_route_may_demand_a_fresher_proof(stack: Stack) -> None:
    login = await stack.log_in()
    async with stack.agent() as agent:
        agent.verify(login["access_token"], max_staleness=1.0)
        stack.nats.kill()
        await asyncio.sleep(1.1)
        agent.verify(login["access_token"])
        with pytest.raises(AgentStale):
            agent.verify(login["access_token"], max_staleness=0.5)
        stack.nats.start()
        # A client that is stopped while it reconnects leaves its socket to the next test.
        assert await _live_again(agent, login["access_token"])
        assert (await stack.post("/v1/logout", login["access_token"])).status_code in (200, 202)


async def test_an_agent_with_a_thread_of_its_own(stack: Stack) -> None:
    login = await stack.log_in()
    agent = stack.agent()
    assert await asyncio.to_thread(agent.start)
    try:
        agent.verify(login["access_token"])
        await stack.post("/v1/logout", login["access_token"])
        assert await rejected(agent, login["access_token"]) == "session_revoked"
    finally:
        await asyncio.to_thread(agent.stop)


async def _live_again(agent: VerifierAgent, token: str) -> bool:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        try:
            agent.verify(token)
        except AgentStale:
            await asyncio.sleep(0.02)
        else:
            return True
    return False
