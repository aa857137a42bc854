"""What a revocation would hit, and that counting it changes nothing."""

from typing import Any

import pytest
from redis.asyncio import Redis

from tests.issuer.store.conftest import BOUND_S
from tests.issuer.store.helpers import mint
from tocsin_issuer.revoking.live_counts import Count, Impact, LiveCounts
from tocsin_issuer.revoking.target import Target
from tocsin_issuer.store import names
from tocsin_issuer.store.clients import ClientStore
from tocsin_issuer.store.cutoffs import Cutoffs
from tocsin_issuer.store.register import Register
from tocsin_issuer.store.revocations import Revocations
from tocsin_issuer.store.sessions import SessionStore


@pytest.fixture
def counts(redis: Redis) -> LiveCounts:
    return LiveCounts(redis)


def impact(sessions: int, clients: int, tokens: int, certainty: Any = "exact") -> Impact:
    return Impact(*(Count(number, certainty) for number in (sessions, clients, tokens)))


async def contents(redis: Redis) -> dict[str, Any]:
    """Every key with its serialised value."""
    return {str(key): await redis.dump(key) for key in await redis.keys()}


async def test_each_kind(
    redis: Redis, register: Register, sessions: SessionStore, counts: LiveCounts
) -> None:
    """Alice has two sessions, one of which was used by a service; Bob has one; a batch job none."""
    one = await sessions.create("alice", "web", ["orders"])
    two = await sessions.create("alice", "phone", ["orders"])
    bobs = await sessions.create("bob", "web", ["orders"])
    jti, _ = await mint(register, "alice", "web", one.sid)
    await mint(register, "alice", "orders", one.sid)  # by exchange
    await mint(register, "alice", "phone", two.sid)
    await mint(register, "bob", "web", bobs.sid)
    batch, _ = await mint(register, "batch", "batch")
    before = await contents(redis)

    token = Impact(Count(0), Count(1), Count(1, "at_least"))
    assert await counts.of(Target("token", jti)) == token
    assert await counts.of(Target("token", batch)) == token
    assert await counts.of(Target("session", one.sid)) == impact(1, 2, 2)
    assert await counts.of(Target("subject", "alice")) == impact(2, 3, 3)
    assert await counts.of(Target("client", "web")) == impact(2, 1, 2, "about")
    assert await counts.of(Target("client", "orders")) == impact(0, 1, 1, "about")
    assert await counts.of(Target("all")) == impact(3, 4, 5, "about")
    assert await contents(redis) == before


async def test_nobody(counts: LiveCounts) -> None:
    assert await counts.of(Target("token", "x")) == Impact(Count(0), Count(0), Count(0, "at_least"))
    assert await counts.of(Target("session", "x")) == impact(0, 0, 0)
    assert await counts.of(Target("subject", "x")) == impact(0, 0, 0)
    assert await counts.of(Target("client", "x")) == impact(0, 0, 0, "about")


async def test_what_others_issued_is_not_known(counts: LiveCounts) -> None:
    unknown = Impact(*[Count(None, "unknown")] * 3)
    for by in ("token", "session", "subject", "client", "key"):
        assert await counts.of(Target(by, "x", iss="https://idp.example")) == unknown


async def test_what_is_dead_does_not_count(
    redis: Redis,
    register: Register,
    sessions: SessionStore,
    revocations: Revocations,
    cutoffs: Cutoffs,
    counts: LiveCounts,
) -> None:
    one = await sessions.create("alice", "web", ["orders"])
    jti, iat = await mint(register, "alice", "web", one.sid)
    await mint(register, "alice", "web", one.sid)
    await revocations.revoke_tokens([(jti, iat + 600)], "test", "admin")
    assert await counts.of(Target("subject", "alice")) == impact(1, 1, 1)
    assert (await counts.of(Target("token", jti))).tokens.number == 0
    expired, _ = await mint(register, "alice", "web", one.sid)
    await redis.expireat(names.REGISTER + expired, iat + 45)  # it expired 45 s ago
    await redis.zadd(names.SESSION_TOKENS + one.sid, {expired: iat - 45})
    assert await counts.of(Target("session", one.sid)) == impact(1, 1, 1)

    await cutoffs.subject("alice", "test", "admin")
    for target in (Target("session", one.sid), Target("subject", "alice")):
        assert await counts.of(target) == impact(0, 0, 0)
    assert await counts.of(Target("all")) == impact(0, 0, 0, "about")

    two = await sessions.create("bob", "web", ["orders"])
    await mint(register, "bob", "web", two.sid)
    assert (await counts.of(Target("all"))).sessions.number == 1
    await revocations.revoke_sessions([two.sid], "test", "admin", bound_s=BOUND_S)
    assert await counts.of(Target("all")) == impact(0, 0, 0, "about")


async def test_the_sessions_of_a_client_are_counted_until_they_end(
    register: Register, sessions: SessionStore, cutoffs: Cutoffs, counts: LiveCounts
) -> None:
    for sub in ("alice", "bob"):
        session = await sessions.create(sub, "web", ["orders"])
        await mint(register, sub, "web", session.sid)
    staying = await sessions.create("alice", "phone", ["orders"])
    await mint(register, "alice", "phone", staying.sid)
    assert await counts.of(Target("client", "web")) == impact(2, 1, 2, "about")
    await cutoffs.client("web", "test", "admin")
    assert await counts.of(Target("client", "web")) == impact(0, 0, 0, "about")
    assert await counts.of(Target("session", session.sid)) == impact(0, 0, 0)
    assert await counts.of(Target("subject", "alice")) == impact(1, 1, 1)
    assert await counts.of(Target("all")) == impact(1, 1, 1, "about")


async def test_a_subject_that_is_a_client(
    redis: Redis, register: Register, counts: LiveCounts
) -> None:
    await ClientStore(redis).create("batch", ["orders"])
    for _ in range(3):
        await mint(register, "batch", "batch")
    await mint(register, "alice", "batch")  # another subject's
    found = await counts.of(Target("subject", "batch"))
    assert found.tokens.certainty == "about"
    assert found.clients.number == 1
    assert found.tokens.number == 4  # the register knows no subject of a token without a session


async def test_of_many_keys_a_sample_is_looked_at(redis: Redis) -> None:
    async with redis.pipeline() as pipe:
        for number in range(6000):
            client = "web" if number % 2 else "phone"
            pipe.set(f"{names.REGISTER}{number}", f"\n{client}", ex=600)
        await pipe.execute()
    everything = await LiveCounts(redis).of(Target("client", "web"))
    assert everything.tokens == Count(3000, "about")
    sampled = await LiveCounts(redis, max_sample=1000).of(Target("client", "web"))
    assert sampled.tokens.number is not None
    assert 2300 < sampled.tokens.number < 3700
    assert sampled.tokens.number != 3000
