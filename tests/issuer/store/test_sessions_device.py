"""A session bound to a device, and the one repeat that a lost answer may cost."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.issuer.store.conftest import ABSOLUTE_S, BOUND_S, IDLE_S, MAX_TOKEN_LIFE_S
from tests.issuer.store.helpers import events_in, only_event, server_time
from tocsin_issuer.store import names
from tocsin_issuer.store.outbox import Outbox
from tocsin_issuer.store.refresh_token import RefreshToken
from tocsin_issuer.store.sessions import DEFAULT_GRACE_S, OpenSession, SessionStore
from tocsin_schemas.errors import RequestRejected
from tocsin_schemas.events import SessionsRevoked

DEVICE = "d" * 43
OTHER = "e" * 43


@pytest.fixture
async def session(sessions: SessionStore) -> OpenSession:
    return await sessions.create("alice", "app", ["orders"], device="phone", device_id=DEVICE)


async def refresh(
    sessions: SessionStore, token: str, device_id: str | None = DEVICE
) -> OpenSession:
    return await sessions.refresh(token, bound_s=BOUND_S, device_id=device_id)


async def assert_refused(
    sessions: SessionStore, token: str, device_id: str | None = DEVICE
) -> None:
    with pytest.raises(RequestRejected) as caught:
        await refresh(sessions, token, device_id)
    assert (caught.value.code, str(caught.value)) == (
        "invalid_grant",
        "the refresh token is not valid",
    )


async def wait_past_the_grace(redis: Redis, session: OpenSession) -> None:
    """As if the newest refresh had been that long ago."""
    await redis.hincrby(names.SESSION + session.sid, "replaced_ms", -round(DEFAULT_GRACE_S * 1000))


@pytest.mark.parametrize("shown", [None, OTHER, "", DEVICE[:-1], DEVICE + "d"])
async def test_another_device_ends_the_session(
    sessions: SessionStore, session: OpenSession, outbox: Outbox, shown: str | None
) -> None:
    following = await refresh(sessions, session.refresh_token)
    await assert_refused(sessions, following.refresh_token, shown)
    event = await only_event(outbox, SessionsRevoked)
    assert (event.reason, event.initiator) == ("device-mismatch", "system")
    assert [rule.sid for rule in event.sessions] == [session.sid]
    assert not await sessions.exists(session.sid)
    await assert_refused(sessions, following.refresh_token)


async def test_a_session_bound_to_no_device_does_not_ask(
    sessions: SessionStore, outbox: Outbox
) -> None:
    session = await sessions.create("alice", "app", ["orders"])
    following = await refresh(sessions, session.refresh_token, None)
    await refresh(sessions, following.refresh_token, OTHER)
    assert await events_in(outbox) == []


async def test_the_device_is_not_stored_nor_shown(
    redis: Redis, session: OpenSession, caplog: pytest.LogCaptureFixture
) -> None:
    stored: Any = await redis.hgetall(names.SESSION + session.sid)
    assert DEVICE not in str(stored) + repr(session) + caplog.text
    assert len(stored["device_digest"]) == 64


async def test_who_knows_only_the_sid_ends_nothing_by_another_device(
    sessions: SessionStore, session: OpenSession, outbox: Outbox
) -> None:
    forged = RefreshToken(session.sid, 0, bytes(16), bytes(32))
    await assert_refused(sessions, forged.text, OTHER)
    assert await events_in(outbox) == []
    await refresh(sessions, session.refresh_token)


async def test_a_lost_answer_is_given_anew_once(
    sessions: SessionStore, session: OpenSession, outbox: Outbox
) -> None:
    lost = await refresh(sessions, session.refresh_token)
    again = await refresh(sessions, session.refresh_token)
    assert again.refresh_token != lost.refresh_token
    assert RefreshToken.parse(again.refresh_token).generation == 1
    assert await events_in(outbox) == []
    third = await refresh(sessions, again.refresh_token)
    await assert_refused(sessions, session.refresh_token)
    assert (await only_event(outbox, SessionsRevoked)).reason == "refresh-reuse"
    await assert_refused(sessions, third.refresh_token)


async def test_the_answer_that_was_given_anew_makes_the_first_one_worthless(
    sessions: SessionStore, session: OpenSession, outbox: Outbox
) -> None:
    """One live token at any time: where the first answer was not lost but read by a thief, its use
    ends the session.
    """
    first = await refresh(sessions, session.refresh_token)
    again = await refresh(sessions, session.refresh_token)
    await assert_refused(sessions, first.refresh_token)
    await only_event(outbox, SessionsRevoked)
    await assert_refused(sessions, again.refresh_token)


async def test_a_second_repeat_is_a_replay(
    sessions: SessionStore, session: OpenSession, outbox: Outbox
) -> None:
    await refresh(sessions, session.refresh_token)
    again = await refresh(sessions, session.refresh_token)
    await assert_refused(sessions, session.refresh_token)
    await only_event(outbox, SessionsRevoked)
    await assert_refused(sessions, again.refresh_token)


async def test_a_repeat_after_the_successor_was_used_is_a_replay(
    sessions: SessionStore, session: OpenSession, outbox: Outbox
) -> None:
    second = await refresh(sessions, session.refresh_token)
    third = await refresh(sessions, second.refresh_token)
    await assert_refused(sessions, session.refresh_token)
    await only_event(outbox, SessionsRevoked)
    await assert_refused(sessions, third.refresh_token)


async def test_a_repeat_from_another_device_is_none(
    sessions: SessionStore, session: OpenSession, outbox: Outbox
) -> None:
    await refresh(sessions, session.refresh_token)
    await assert_refused(sessions, session.refresh_token, OTHER)
    assert (await only_event(outbox, SessionsRevoked)).reason == "device-mismatch"


async def test_a_late_repeat_is_a_replay(
    redis: Redis, sessions: SessionStore, session: OpenSession, outbox: Outbox
) -> None:
    await refresh(sessions, session.refresh_token)
    await wait_past_the_grace(redis, session)
    await assert_refused(sessions, session.refresh_token)
    await only_event(outbox, SessionsRevoked)


async def test_a_repeat_before_the_refresh_is_a_replay(
    redis: Redis, sessions: SessionStore, session: OpenSession, outbox: Outbox
) -> None:
    """The server's clock went back: nobody knows how long ago the refresh was."""
    await refresh(sessions, session.refresh_token)
    await redis.hincrby(names.SESSION + session.sid, "replaced_ms", 60_000)
    await assert_refused(sessions, session.refresh_token)
    await only_event(outbox, SessionsRevoked)


async def test_without_grace_every_repeat_is_a_replay(redis: Redis, outbox: Outbox) -> None:
    strict = SessionStore(
        redis,
        outbox,
        idle_s=IDLE_S,
        absolute_s=ABSOLUTE_S,
        max_token_life_s=MAX_TOKEN_LIFE_S,
        grace_s=0,
    )
    session = await strict.create("alice", "app", ["orders"], device_id=DEVICE)
    await refresh(strict, session.refresh_token)
    await assert_refused(strict, session.refresh_token)
    await only_event(outbox, SessionsRevoked)


async def test_a_repeat_whose_own_call_is_sent_twice(
    sessions: SessionStore,
    session: OpenSession,
    outbox: Outbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The client library sends a script again when its connection broke."""
    await refresh(sessions, session.refresh_token)
    again = RefreshToken.parse(session.refresh_token).next()
    monkeypatch.setattr(RefreshToken, "next", lambda self: again)
    for _ in range(2):
        assert (await refresh(sessions, session.refresh_token)).refresh_token == again.text
    assert await events_in(outbox) == []


async def test_a_hundred_at_once_one_wins_and_one_has_grace(
    sessions: SessionStore, session: OpenSession, outbox: Outbox
) -> None:
    answers = await asyncio.gather(
        *(refresh(sessions, session.refresh_token) for _ in range(100)), return_exceptions=True
    )
    given = [answer for answer in answers if isinstance(answer, OpenSession)]
    refused = [answer for answer in answers if isinstance(answer, RequestRejected)]
    assert (len(given), len(refused)) == (2, 98)
    assert (await only_event(outbox, SessionsRevoked)).reason == "refresh-reuse"
    for answer in given:
        await assert_refused(sessions, answer.refresh_token)


async def test_when_a_session_ends(
    redis: Redis, sessions: SessionStore, session: OpenSession
) -> None:
    """Idle at first, and never later than it may last at all."""
    now = await server_time(redis)
    assert 0 <= session.ends - (now + IDLE_S) + 1 <= 2
    assert session.ends == await redis.expiretime(names.SESSION + session.sid)
    following = await refresh(sessions, session.refresh_token)
    assert 0 <= following.ends - session.ends <= 2
    await redis.hset(names.SESSION + session.sid, "ends", now + 100)
    last = await refresh(sessions, following.refresh_token)
    assert last.ends == now + 100
    repeated = await refresh(sessions, following.refresh_token)
    assert repeated.ends == now + 100
