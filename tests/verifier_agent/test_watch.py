"""Whoever holds a connection is told when its token is no longer good, whatever else happens."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from tests.support.clock import NOW, SECOND, FixedClock
from tocsin_schemas.errors import AgentStale, TokenRejected
from tocsin_verifier_agent import Verified, VerifierAgent
from tocsin_verifier_agent.feed import Clocks
from tocsin_verifier_agent.testing import LocalIssuer
from tocsin_verifier_agent.watch import Refusal, TokenWatch


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
async def watch(clock: FixedClock) -> TokenWatch:
    watch = TokenWatch(Clocks(clock.now, clock.utc))
    watch.open()
    return watch


class Token:
    """A token that is good until the lease clock shows ``until``, or until it is refused."""

    def __init__(self, clock: FixedClock, seconds: float = 100) -> None:
        self._clock = clock
        self._verified = LocalIssuer()
        self._text = self._verified.mint()
        self.until = clock.lease + round(seconds * SECOND)
        self.error: Exception | None = None
        self.looks = 0

    def verify(self) -> Verified:
        self.looks += 1
        if self.error is not None:
            raise self.error
        if self._clock.lease > self.until:
            raise AgentStale("lease_lapsed")
        found = self._verified.agent.verify(self._text)
        left = (self.until - self._clock.lease) / SECOND
        return Verified(found.payload, found.token, self._clock.wall + left)


async def waiting(watch: TokenWatch, token: Token) -> asyncio.Task[Refusal]:
    task = asyncio.create_task(watch.until_refused(token.verify))
    await asyncio.sleep(0)
    return task


async def told(task: asyncio.Task[Refusal]) -> str:
    async with asyncio.timeout(5):
        refusal = await task
    return refusal.code


async def test_a_token_that_is_bad_already(watch: TokenWatch, clock: FixedClock) -> None:
    token = Token(clock)
    token.error = TokenRejected("exp")
    assert await told(await waiting(watch, token)) == "exp"
    assert len(watch) == 0


async def test_a_change_makes_it_look(watch: TokenWatch, clock: FixedClock) -> None:
    token = Token(clock)
    task = await waiting(watch, token)
    watch.sweep(changed=False)
    assert token.looks == 1
    watch.sweep(changed=True)
    assert token.looks == 2
    token.error = TokenRejected("session_revoked")
    watch.sweep(changed=True)
    assert await told(task) == "session_revoked"
    watch.sweep(changed=True)
    assert (token.looks, len(watch)) == (3, 0)


async def test_time_makes_it_look(watch: TokenWatch, clock: FixedClock) -> None:
    token = Token(clock, seconds=100)
    task = await waiting(watch, token)
    clock.advance(99.9)
    watch.sweep(changed=False)
    assert token.looks == 1
    clock.advance(0.1)
    watch.sweep(changed=False)
    await asyncio.sleep(0)
    assert (token.looks, task.done()) == (2, False)
    clock.lease += 1
    watch.sweep(changed=False)
    assert await told(task) == "lease_lapsed"


@pytest.mark.parametrize("jump", [-7200, -1, 3600])
async def test_a_wall_clock_that_is_set_does_not_lengthen_it(
    watch: TokenWatch, clock: FixedClock, jump: int
) -> None:
    """The bound rests on no wall clock, and a connection's must not either."""
    token = Token(clock, seconds=100)
    task = await waiting(watch, token)
    clock.wall = NOW + jump
    clock.lease += 100 * SECOND + 1
    watch.sweep(changed=False)
    assert await told(task) == "lease_lapsed"


async def test_a_fault_of_one_is_not_the_end_of_the_others(
    watch: TokenWatch, clock: FixedClock, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = [Token(clock) for _ in range(5)]
    tasks = [await waiting(watch, token) for token in tokens]
    for token in tokens:
        token.error = TokenRejected("all_revoked")
    tokens[2].error = RuntimeError("secret text")
    watch.sweep(changed=True)
    found = [await told(task) for task in tasks]
    assert found == ["all_revoked"] * 2 + ["unwatched"] + ["all_revoked"] * 2
    assert "RuntimeError" in caplog.text
    assert "secret text" not in caplog.text


async def test_a_loop_that_is_gone_is_not_the_end_of_the_others(
    watch: TokenWatch, clock: FixedClock
) -> None:
    """Closed with its task still waiting, so that nobody took the token back."""
    gone, lost = asyncio.new_event_loop(), Token(clock)
    waits = watch.until_refused(lost.verify)

    def begin() -> None:
        asyncio._set_running_loop(gone)
        try:
            waits.send(None)
        finally:
            asyncio._set_running_loop(None)
            gone.close()

    await asyncio.to_thread(begin)
    others = [Token(clock) for _ in range(3)]
    tasks = [await waiting(watch, token) for token in others]
    assert len(watch) == 4
    for token in (lost, *others):
        token.error = TokenRejected("all_revoked")
    watch.sweep(changed=True)
    assert [await told(task) for task in tasks] == ["all_revoked"] * 3
    assert len(watch) == 0
    waits.close()


async def test_where_nobody_sweeps_any_more(clock: FixedClock) -> None:
    """Its loop was closed without a word; whoever comes after must not wait for ever."""
    watch, gone = TokenWatch(Clocks(clock.now, clock.utc)), asyncio.new_event_loop()

    async def opened() -> None:
        watch.open()

    await asyncio.to_thread(lambda: gone.run_until_complete(opened()))
    gone.close()
    assert await told(await waiting(watch, Token(clock))) == "not_running"
    assert len(watch) == 0


async def test_whoever_leaves_is_forgotten(watch: TokenWatch, clock: FixedClock) -> None:
    task = await waiting(watch, Token(clock))
    assert len(watch) == 1
    task.cancel()
    await asyncio.wait({task})
    assert len(watch) == 0


async def test_when_it_ends_all_are_told(watch: TokenWatch, clock: FixedClock) -> None:
    tasks = [await waiting(watch, Token(clock)) for _ in range(3)]
    watch.close()
    assert [await told(task) for task in tasks] == ["not_running"] * 3
    assert await told(await waiting(watch, Token(clock))) == "not_running"
    watch.open()
    task = await waiting(watch, Token(clock))
    assert not task.done()
    task.cancel()


async def test_from_many_loops(watch: TokenWatch, clock: FixedClock) -> None:
    tokens = [Token(clock) for _ in range(20)]
    found: list[str] = []

    def hold(token: Token) -> None:
        found.append(asyncio.run(watch.until_refused(token.verify)).code)

    threads = [threading.Thread(target=hold, args=(token,)) for token in tokens]
    for thread in threads:
        thread.start()
    async with asyncio.timeout(5):
        while len(watch) < len(tokens):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    for token in tokens:
        token.error = TokenRejected("all_revoked")
    watch.sweep(changed=True)
    for thread in threads:
        await asyncio.to_thread(thread.join, 5)
    assert found == ["all_revoked"] * len(tokens)


# --- in an agent --------------------------------------------------------------------------------


@pytest.fixture
def issuer() -> LocalIssuer:
    return LocalIssuer()


@pytest.fixture
async def agent(issuer: LocalIssuer) -> AsyncIterator[VerifierAgent]:
    async with issuer.agent as agent:
        yield agent


async def start(agent: VerifierAgent, token: str) -> asyncio.Task[Refusal]:
    task = asyncio.create_task(agent.until_refused(token))
    await asyncio.sleep(0.05)
    assert not task.done()
    return task


async def test_a_revocation_ends_those_that_it_hits(
    issuer: LocalIssuer, agent: VerifierAgent
) -> None:
    hit = await start(agent, issuer.mint(sid="s-1"))
    spared = await start(agent, issuer.mint(sid="s-2"))
    issuer.revoke_session("s-1")
    assert await told(hit) == "session_revoked"
    await asyncio.sleep(0.05)
    assert not spared.done()
    issuer.advance(631)
    assert await told(spared) == "exp"


async def test_a_refusal_is_counted_once(issuer: LocalIssuer, agent: VerifierAgent) -> None:
    task = await start(agent, issuer.mint(sid="s-1"))
    issuer.revoke_session("s-1")
    assert await told(task) == "session_revoked"
    issuer.revoke_session("s-2")
    await asyncio.sleep(0.05)
    assert agent.meters.snapshot()["rejected"] == {"session_revoked": 1}


async def test_the_agents_end_is_the_end(issuer: LocalIssuer) -> None:
    """Its lease would go on for two minutes, and nobody would be there to see a revocation."""
    async with issuer.agent as agent:
        task = await start(agent, issuer.mint())
    assert await told(task) == "not_running"
    assert (await agent.until_refused(issuer.mint())).code == "not_running"


async def test_leniency_ends_too(issuer: LocalIssuer) -> None:
    agent = issuer.new_agent(on_stale="accept")
    async with agent:
        task = await start(agent, issuer.mint(expires_in=3600))
        issuer.go_stale()
        await asyncio.sleep(0.05)
        assert not task.done()
        issuer.advance(900)
        assert await told(task) == "lease_lapsed"


async def test_what_is_observed_is_not_looked_at_all_the_time(issuer: LocalIssuer) -> None:
    agent = issuer.new_agent(observe=True)
    async with agent:
        issuer.revoke_session("s-1")
        task = await start(agent, issuer.mint(sid="s-1"))
        await asyncio.sleep(0.2)
        assert agent.meters.snapshot()["would_deny"]["session_revoked"] <= 2
        task.cancel()


async def test_an_agent_that_starts_again_elsewhere_watches_again(issuer: LocalIssuer) -> None:
    agent = issuer.agent
    for n in range(3):
        assert await asyncio.to_thread(agent.start)
        await asyncio.sleep(0.05)  # it waits for something to watch
        task = await start(agent, issuer.mint(sid=f"s-{n}"))
        issuer.revoke_session(f"s-{n}")
        assert await told(task) == "session_revoked"
        await asyncio.to_thread(agent.stop)
