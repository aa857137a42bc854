"""Each token has its place in the register, and an iat that Redis decided."""

import asyncio

import pytest
from redis.asyncio import Redis

from tests.issuer.store.helpers import mint, server_time
from tocsin_issuer.store import names
from tocsin_issuer.store.register import MAX_GROUP, Owner, Register
from tocsin_issuer.store.sessions import SessionStore
from tocsin_schemas.errors import RequestRejected


async def test_a_token_is_kept_a_little_longer_than_it_lives(
    redis: Redis, register: Register
) -> None:
    before = await server_time(redis)
    jti, iat = await mint(register, life_s=600)
    assert before <= iat <= await server_time(redis)
    assert await register.owner(jti) == Owner("", "app")
    assert await redis.expiretime(names.REGISTER + jti) == iat + 600 + 30 + 60
    assert await register.owner("unknown") is None


async def test_a_crowd_is_registered_in_groups(redis: Redis, register: Register) -> None:
    await redis.config_resetstat()
    minted = await asyncio.gather(*(mint(register, sub=f"u{i}") for i in range(3 * MAX_GROUP)))
    assert len({jti for jti, _ in minted}) == 3 * MAX_GROUP
    for jti, _ in minted:
        assert await register.owner(jti) == Owner("", "app")
    statistics = await redis.info("commandstats")
    assert statistics["cmdstat_evalsha"]["calls"] <= 5  # one more than the groups: NOSCRIPT


async def test_one_refusal_in_a_group_is_nobody_elses(redis: Redis, register: Register) -> None:
    await redis.hset(names.USER + "bob", "disabled", "1")
    await redis.hset(names.CLIENT + "closed", "disabled", "1")
    answers = await asyncio.gather(
        mint(register),
        mint(register, sub="bob"),
        mint(register, client_id="closed"),
        mint(register, sid="no-such-session"),
        mint(register, actors=("one", "two")),
        mint(register),
        return_exceptions=True,
    )
    codes = [one.code if isinstance(one, RequestRejected) else None for one in answers]
    assert codes == [None, "subject_disabled", "client_disabled", "session_gone", None, None]


async def test_a_token_of_a_session_is_listed_with_it(
    redis: Redis, register: Register, sessions: SessionStore
) -> None:
    session = await sessions.create("alice", "app", ["orders"])
    jti, iat = await mint(register, sid=session.sid)
    assert await register.owner(jti) == Owner(session.sid, "app")
    assert await redis.zscore(names.SESSION_TOKENS + session.sid, jti) == iat + 600
    later, _ = await mint(register, sid=session.sid, life_s=900)
    await mint(register, sid=session.sid, life_s=60)
    assert await redis.expiretime(names.SESSION_TOKENS + session.sid) >= iat + 900 + 90
    assert await redis.zscore(names.SESSION_TOKENS + session.sid, later) is not None


async def test_a_refused_token_leaves_nothing(redis: Redis, register: Register) -> None:
    with pytest.raises(RequestRejected, match="no token can be issued"):
        await mint(register, sid="gone")
    assert await redis.keys("*") == []


async def test_a_failure_reaches_everybody_in_the_group(redis: Redis, register: Register) -> None:
    await redis.set(names.USER + "alice", "not a hash")
    answers = await asyncio.gather(*(mint(register) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(answer, Exception) for answer in answers)
    await redis.delete(names.USER + "alice")
    await mint(register)
