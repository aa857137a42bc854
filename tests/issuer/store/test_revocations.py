"""Logout and revocation by name: the outbox first, then the session, then the projection."""

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from tests.issuer.store.conftest import BOUND_S, MAX_TOKEN_LIFE_S
from tests.issuer.store.helpers import events_in, mint, only_event, server_time
from tocsin_issuer.store import names
from tocsin_issuer.store.outbox import Outbox
from tocsin_issuer.store.register import Register
from tocsin_issuer.store.revocations import Revocations
from tocsin_issuer.store.sessions import SessionStore
from tocsin_schemas.errors import LedgerRejected, RequestRejected
from tocsin_schemas.events import RevokedToken, SessionsRevoked, TokensRevoked


async def test_a_logout_is_one_event_and_leaves_no_session(
    redis: Redis,
    sessions: SessionStore,
    register: Register,
    revocations: Revocations,
    outbox: Outbox,
) -> None:
    session = await sessions.create("alice", "app", ["orders"])
    tokens = [await mint(register, sid=session.sid) for _ in range(3)]
    now = await server_time(redis)
    emission = await revocations.revoke_sessions([session.sid], "logout", "user", bound_s=BOUND_S)
    assert outbox.wake.is_set()
    (entry,) = await outbox.read(10)
    assert entry.id == emission.entry_id
    event = await only_event(outbox, SessionsRevoked)
    assert (event.id, event.reason, event.initiator) == (emission.event_id, "logout", "user")
    (rule,) = event.sessions
    assert rule.sid == session.sid
    assert 0 <= rule.until - (now + BOUND_S + MAX_TOKEN_LIFE_S + 600) <= 2
    assert not await sessions.exists(session.sid)
    assert not await redis.exists(names.SESSION_TOKENS + session.sid)
    for jti, iat in tokens:
        assert await redis.get(names.DENIED + jti) == "1"
        assert await redis.expiretime(names.DENIED + jti) == iat + 600 + 30


async def test_what_is_gone_can_be_logged_out_again(
    revocations: Revocations, outbox: Outbox
) -> None:
    for _ in range(2):
        await revocations.revoke_sessions(["gone"], "logout", "user", bound_s=BOUND_S)
    assert len(await events_in(outbox)) == 2


async def test_many_sessions_are_one_event(
    sessions: SessionStore, revocations: Revocations, outbox: Outbox
) -> None:
    opened = [(await sessions.create("alice", "app", ["orders"])).sid for _ in range(3)]
    odd = 'si"d\\ü'
    await revocations.revoke_sessions([*opened, odd], "test", "admin", bound_s=BOUND_S)
    event = await only_event(outbox, SessionsRevoked)
    assert [rule.sid for rule in event.sessions] == [*opened, odd]
    assert not any([await sessions.exists(sid) for sid in opened])


async def test_no_session_ends_that_the_outbox_does_not_know_of(
    redis: Redis, sessions: SessionStore, register: Register, revocations: Revocations
) -> None:
    session = await sessions.create("alice", "app", ["orders"])
    jti, _ = await mint(register, sid=session.sid)
    await redis.set(names.OUTBOX, "not a stream")
    with pytest.raises(ResponseError, match="TOCSIN"):
        await revocations.revoke_sessions([session.sid], "logout", "user", bound_s=BOUND_S)
    assert await sessions.exists(session.sid)
    assert not await redis.exists(names.DENIED + jti)
    await redis.delete(names.OUTBOX)
    await redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(ResponseError):
            await revocations.revoke_sessions([session.sid], "logout", "user", bound_s=BOUND_S)
    finally:
        await redis.config_set("maxmemory", 0)
    assert await sessions.exists(session.sid)


async def test_tokens_by_name(redis: Redis, revocations: Revocations, outbox: Outbox) -> None:
    exp = await server_time(redis) + 500
    emission = await revocations.revoke_tokens([("one", exp), ("two", exp + 1)], "test", "admin")
    event = await only_event(outbox, TokensRevoked)
    assert event.id == emission.event_id
    assert event.tokens == (RevokedToken("one", exp + 30), RevokedToken("two", exp + 31))
    assert await redis.expiretime(names.DENIED + "two") == exp + 31


async def test_an_expired_token_can_be_revoked(
    redis: Redis, revocations: Revocations, outbox: Outbox
) -> None:
    await revocations.revoke_tokens([("old", 1000)], "test", "admin")
    await only_event(outbox, TokensRevoked)
    assert not await redis.exists(names.DENIED + "old")


async def test_no_rule_stands_for_ever(
    redis: Redis, revocations: Revocations, outbox: Outbox
) -> None:
    late = await server_time(redis) + MAX_TOKEN_LIFE_S + 1000
    with pytest.raises(RequestRejected) as caught:
        await revocations.revoke_tokens([("one", 1000), ("two", late)], "test", "admin")
    assert caught.value.code == "exp_too_late"
    assert await redis.keys("*") == []


async def test_what_no_record_may_hold_is_refused(revocations: Revocations, outbox: Outbox) -> None:
    for sid, reason in (("", "test"), ("s" * 256, "test"), ("sid", "Free text!")):
        with pytest.raises(LedgerRejected, match="event_malformed"):
            await revocations.revoke_sessions([sid], reason, "admin", bound_s=BOUND_S)
    for number in (0, 1001):
        with pytest.raises(RequestRejected, match="between 1 and"):
            await revocations.revoke_sessions(["s"] * number, "test", "admin", bound_s=BOUND_S)
    assert await events_in(outbox) == []
