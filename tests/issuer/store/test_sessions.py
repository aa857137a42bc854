"""One use for each refresh token; a replay ends the session, and the ledger hears of it first."""

import asyncio
import logging
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from tests.issuer.store.conftest import ABSOLUTE_S, BOUND_S, IDLE_S, MAX_TOKEN_LIFE_S
from tests.issuer.store.helpers import events_in, mint, only_event, server_time
from tocsin_issuer.store import names
from tocsin_issuer.store.lineage import Lineage
from tocsin_issuer.store.outbox import Outbox
from tocsin_issuer.store.refresh_token import RefreshToken
from tocsin_issuer.store.register import Register
from tocsin_issuer.store.sessions import OpenSession, SessionStore
from tocsin_schemas.errors import RequestRejected
from tocsin_schemas.events import SessionsRevoked


@pytest.fixture
async def session(sessions: SessionStore) -> OpenSession:
    return await sessions.create(
        "alice", "app", ["orders", "billing"], device="phone", user_agent="Browser/1"
    )


async def refresh(sessions: SessionStore, token: str, client_id: str | None = None) -> OpenSession:
    return await sessions.refresh(token, bound_s=BOUND_S, client_id=client_id)


async def assert_refused(sessions: SessionStore, token: str) -> None:
    with pytest.raises(RequestRejected) as caught:
        await refresh(sessions, token)
    assert (caught.value.code, caught.value.status) == ("invalid_grant", 400)
    assert str(caught.value) == "the refresh token is not valid"


async def test_each_generation_leads_to_the_next(
    sessions: SessionStore, session: OpenSession, outbox: Outbox
) -> None:
    token = session.refresh_token
    seen = {token}
    for generation in range(1, 6):
        following = await refresh(sessions, token)
        assert following.sid == session.sid
        assert (following.sub, following.client_id) == ("alice", "app")
        assert following.audiences == ("orders", "billing")
        token = following.refresh_token
        assert token.startswith(f"{session.sid}.{generation}.")
        seen.add(token)
    assert len(seen) == 6
    assert await events_in(outbox) == []


async def test_no_secret_is_stored_or_shown(
    redis: Redis, sessions: SessionStore, session: OpenSession
) -> None:
    following = await refresh(sessions, session.refresh_token)
    stored = str(await redis.hgetall(names.SESSION + session.sid))
    for token in (session.refresh_token, following.refresh_token):
        secret = token.rpartition(".")[2]
        for part in (secret, secret[:22], secret[22:]):
            assert part not in stored
        assert secret not in repr(session) + repr(following) + repr(RefreshToken.parse(token))
    assert "Browser/1" not in stored
    assert "phone" in stored


async def test_a_replay_ends_the_session_for_whoever_holds_it(
    redis: Redis,
    sessions: SessionStore,
    session: OpenSession,
    register: Register,
    outbox: Outbox,
    caplog: pytest.LogCaptureFixture,
) -> None:
    jti, iat = await mint(register, sid=session.sid)
    following = await refresh(sessions, session.refresh_token)
    now = await server_time(redis)
    with caplog.at_level(logging.DEBUG):
        await assert_refused(sessions, session.refresh_token)
    assert outbox.wake.is_set()
    event = await only_event(outbox, SessionsRevoked)
    assert (event.reason, event.initiator) == ("refresh-reuse", "system")
    (rule,) = event.sessions
    assert rule.sid == session.sid
    assert 0 <= rule.until - (now + BOUND_S + MAX_TOKEN_LIFE_S + 600) <= 2
    assert await redis.expiretime(names.DENIED + jti) == iat + 600 + 30
    assert not await sessions.exists(session.sid)
    await assert_refused(sessions, following.refresh_token)
    assert len(await events_in(outbox)) == 1, "what is gone is not revoked again"
    assert session.refresh_token not in caplog.text
    assert "reused" in caplog.text


async def test_a_hundred_at_once_one_wins_and_the_family_dies(
    sessions: SessionStore, session: OpenSession, outbox: Outbox
) -> None:
    """I7. The rule: a second use is a replay, even in the same instant, so the winner's token is
    dead as well. Whoever is honest logs in again; a thief cannot.
    """
    answers = await asyncio.gather(
        *(refresh(sessions, session.refresh_token) for _ in range(100)), return_exceptions=True
    )
    winners = [answer for answer in answers if isinstance(answer, OpenSession)]
    refused = [answer for answer in answers if isinstance(answer, RequestRejected)]
    assert (len(winners), len(refused)) == (1, 99)
    assert {rejected.code for rejected in refused} == {"invalid_grant"}
    event = await only_event(outbox, SessionsRevoked)
    assert event.reason == "refresh-reuse"
    await assert_refused(sessions, winners[0].refresh_token)


async def test_a_generation_ahead_of_redis_ends_the_session(
    redis: Redis, sessions: SessionStore, session: OpenSession, outbox: Outbox
) -> None:
    backup: Any = await redis.hgetall(names.SESSION + session.sid)
    following = await refresh(sessions, session.refresh_token)
    await redis.hset(names.SESSION + session.sid, mapping=backup)  # Redis went back
    await assert_refused(sessions, following.refresh_token)
    event = await only_event(outbox, SessionsRevoked)
    assert (event.reason, event.initiator) == ("refresh-ahead", "system")
    await assert_refused(sessions, session.refresh_token)


async def test_who_knows_only_the_sid_cannot_end_the_session(
    sessions: SessionStore, session: OpenSession, outbox: Outbox
) -> None:
    """The sid stands in every access token, so every service knows it."""
    own = RefreshToken.parse(session.refresh_token)
    for generation in (0, 1, 7):
        forged = RefreshToken(session.sid, generation, bytes(16), bytes(32))
        await assert_refused(sessions, forged.text)
        half = RefreshToken(session.sid, generation, bytes(16), own.secret)
        await assert_refused(sessions, half.text)
    assert await events_in(outbox) == []
    await refresh(sessions, session.refresh_token)


async def test_who_held_a_token_of_the_family_and_guesses_ends_it(
    sessions: SessionStore, session: OpenSession, outbox: Outbox
) -> None:
    own = RefreshToken.parse(session.refresh_token)
    await assert_refused(sessions, RefreshToken(own.sid, 0, own.family, bytes(32)).text)
    await only_event(outbox, SessionsRevoked)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.b.c",
        "x" * 5000,
        "{sid}.00.{secret}",
        "{sid}.-1.{secret}",
        "{sid}.1e3.{secret}",
        "{sid}.9999999999.{secret}",
        "{sid}.0.{secret}x",
        "{sid}.0.{secret}\n",
        "{sid}.٠.{secret}",
        "{sid}:0:{secret}",
    ],
)
async def test_a_malformed_token_is_refused_like_any_other(
    sessions: SessionStore, session: OpenSession, outbox: Outbox, text: str
) -> None:
    secret = session.refresh_token.rpartition(".")[2]
    await assert_refused(sessions, text.format(sid=session.sid, secret=secret))
    assert await events_in(outbox) == []
    await refresh(sessions, session.refresh_token)


async def test_a_session_belongs_to_its_client(
    sessions: SessionStore, session: OpenSession, outbox: Outbox
) -> None:
    with pytest.raises(RequestRejected, match="not valid"):
        await refresh(sessions, session.refresh_token, client_id="another")
    assert await events_in(outbox) == []
    await refresh(sessions, session.refresh_token, client_id="app")


async def test_the_same_call_sent_twice_is_no_replay(
    sessions: SessionStore,
    session: OpenSession,
    outbox: Outbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The client library sends a command again when its connection broke before the answer came;
    the new secret, drawn once for each call, tells that from a replay.
    """
    following = RefreshToken.parse(session.refresh_token).next()
    monkeypatch.setattr(RefreshToken, "next", lambda self: following)
    assert (await refresh(sessions, session.refresh_token)).refresh_token == following.text
    assert (await refresh(sessions, session.refresh_token)).refresh_token == following.text
    assert await events_in(outbox) == []


async def test_lifetimes(redis: Redis, sessions: SessionStore, session: OpenSession) -> None:
    key = names.SESSION + session.sid
    now = await server_time(redis)
    assert 0 <= await redis.expiretime(key) - (now + IDLE_S) <= 2
    await redis.hset(key, "ends", now + 100)  # the absolute end is near
    await refresh(sessions, session.refresh_token)
    assert await redis.expiretime(key) == now + 100
    fields = await redis.hgetall(names.SESSION + (await sessions.create("a", "b", ["c"])).sid)
    assert int(str(fields["ends"])) - int(str(fields["created"])) == ABSOLUTE_S


async def test_no_session_for_the_disabled(redis: Redis, sessions: SessionStore) -> None:
    await redis.hset(names.USER + "bob", "disabled", "1")
    with pytest.raises(RequestRejected) as caught:
        await sessions.create("bob", "app", ["orders"])
    assert caught.value.code == "subject_disabled"


async def test_a_new_primary_ends_every_family_but_no_access_token(
    redis: Redis, sessions: SessionStore, session: OpenSession, outbox: Outbox
) -> None:
    await Lineage(redis).end_all_families()
    await assert_refused(sessions, session.refresh_token)
    assert await events_in(outbox) == []


async def test_the_family_stays_where_the_outbox_refuses(
    redis: Redis, sessions: SessionStore, session: OpenSession
) -> None:
    """The outbox comes first: no family ends that the ledger would not hear of."""
    following = await refresh(sessions, session.refresh_token)
    await redis.set(names.OUTBOX, "not a stream")
    with pytest.raises(ResponseError, match="TOCSIN"):
        await refresh(sessions, session.refresh_token)
    assert await sessions.exists(session.sid)
    await redis.delete(names.OUTBOX)
    await redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(ResponseError):
            await refresh(sessions, session.refresh_token)
    finally:
        await redis.config_set("maxmemory", 0)
    assert await sessions.exists(session.sid)
    await refresh(sessions, following.refresh_token)
