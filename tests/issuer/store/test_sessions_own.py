"""A user's own sessions: seen newest first, and ended with the event before."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from tests.issuer.store.conftest import ABSOLUTE_S, BOUND_S, MAX_TOKEN_LIFE_S
from tests.issuer.store.helpers import events_in, mint, only_event, server_time
from tocsin_issuer.store import names, own_sessions
from tocsin_issuer.store.cutoffs import Cutoffs
from tocsin_issuer.store.outbox import Outbox
from tocsin_issuer.store.own_sessions import SESSIONS_OF
from tocsin_issuer.store.register import Register
from tocsin_issuer.store.revocations import Revocations
from tocsin_issuer.store.sessions import SessionStore
from tocsin_schemas.errors import RequestRejected
from tocsin_schemas.events import SessionsRevoked


async def opened(sessions: SessionStore, number: int, sub: str = "alice") -> list[str]:
    return [
        (await sessions.create(sub, "app", ["orders"], device=f"device {i}")).sid
        for i in range(number)
    ]


async def age(redis: Redis, sub: str, sid: str, seconds: int) -> None:
    """As if the session had been opened that long ago."""
    await redis.zincrby(SESSIONS_OF + sub, -seconds, names.SESSION + sid)
    await redis.hincrby(names.SESSION + sid, "created", -seconds)


async def all_pages(sessions: SessionStore, limit: int, sub: str = "alice") -> list[list[str]]:
    pages, cursor = [], ""
    while True:
        page = await sessions.own.page(sub, limit=limit, cursor=cursor)
        pages.append([view.sid for view in page.sessions])
        cursor = page.cursor
        if not cursor:
            return pages


async def test_newest_first_in_pages(redis: Redis, sessions: SessionStore) -> None:
    sids = await opened(sessions, 7)
    await opened(sessions, 2, "bob")
    for place, sid in enumerate(sids[:5]):
        await age(redis, "alice", sid, 50 - 10 * place)  # the last two stay of one second
    (whole,) = await all_pages(sessions, 100)
    assert sorted(whole) == sorted(sids)
    assert whole[2:] == sids[:5][::-1]
    for limit in (1, 2, 3, 6, 7):
        pages = await all_pages(sessions, limit)
        assert [sid for page in pages for sid in page] == whole
        assert all(len(page) <= limit for page in pages)
    view = (await sessions.own.page("alice", limit=100)).sessions[2]
    assert (view.device, view.address) == ("device 4", "")
    assert 0 <= await server_time(redis) - 10 - view.created <= 2


async def test_a_session_that_goes_between_two_pages_hides_no_other(
    redis: Redis, sessions: SessionStore, revocations: Revocations
) -> None:
    sids = await opened(sessions, 4)
    for place, sid in enumerate(sids):
        await age(redis, "alice", sid, 50 - 10 * place)
    first = await sessions.own.page("alice", limit=2)
    last_seen = first.sessions[-1].sid
    await revocations.revoke_sessions([last_seen], "logout", "user", bound_s=BOUND_S)
    rest = await sessions.own.page("alice", limit=2, cursor=first.cursor)
    assert [view.sid for view in rest.sessions] == [sids[1], sids[0]]


@pytest.mark.parametrize(
    "cursor", [".", "1.", ".x", "x.y", "-1.x", "1e3.x", "9" * 20 + ".x", "+inf"]
)
async def test_a_cursor_of_somebody_elses(sessions: SessionStore, cursor: str) -> None:
    with pytest.raises(RequestRejected) as caught:
        await sessions.own.page("alice", limit=2, cursor=cursor)
    assert caught.value.code == "cursor_invalid"


async def test_a_refresh_is_seen(redis: Redis, sessions: SessionStore) -> None:
    session = await sessions.create("alice", "app", ["orders"])
    await redis.hset(names.SESSION + session.sid, "seen", 5)
    assert (await sessions.own.page("alice", limit=1)).sessions[0].seen == 5
    await sessions.refresh(session.refresh_token, bound_s=BOUND_S)
    seen = (await sessions.own.page("alice", limit=1)).sessions[0].seen
    assert 0 <= await server_time(redis) - seen <= 2


async def test_what_is_dead_is_not_shown_and_leaves_the_index(
    redis: Redis,
    sessions: SessionStore,
    cutoffs: Cutoffs,
    revocations: Revocations,
) -> None:
    cut_off = await opened(sessions, 3)
    await cutoffs.subject("alice", "logout-all", "user")
    logged_out, expired, alive = await opened(sessions, 3)
    await revocations.revoke_sessions([logged_out], "logout", "user", bound_s=BOUND_S)
    members: Any = await redis.zrange(SESSIONS_OF + "alice", 0, -1)
    assert len(members) == 5, "a session that is ended leaves at once"
    await redis.delete(names.SESSION + expired)  # as the server does when its time is up
    assert await all_pages(sessions, 10) == [[alive]]
    assert await redis.zrange(SESSIONS_OF + "alice", 0, -1) == [names.SESSION + alive]
    assert cut_off


async def test_the_index_goes_with_the_last_session(redis: Redis, sessions: SessionStore) -> None:
    (first,) = await opened(sessions, 1)
    await age(redis, "alice", first, ABSOLUTE_S + 1)
    (second,) = await opened(sessions, 1)
    assert await redis.zrange(SESSIONS_OF + "alice", 0, -1) == [names.SESSION + second]
    now = await server_time(redis)
    assert 0 <= now + ABSOLUTE_S - await redis.expiretime(SESSIONS_OF + "alice") + 1 <= 2


async def test_many_dead_sessions_are_looked_at_in_portions(
    redis: Redis, sessions: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_sessions, "_MAX_LOOKED_AT", 5)
    (oldest,) = await opened(sessions, 1)
    await age(redis, "alice", oldest, 10)
    for sid in await opened(sessions, 13):
        await redis.delete(names.SESSION + sid)
    pages = await all_pages(sessions, 3)
    assert [sid for page in pages for sid in page] == [oldest]
    assert len(pages) == 3


async def test_ending_one(
    redis: Redis, sessions: SessionStore, register: Register, outbox: Outbox
) -> None:
    mine, other = await opened(sessions, 2)
    jti, iat = await mint(register, sid=mine)
    now = await server_time(redis)
    emission = await sessions.own.end("alice", mine, bound_s=BOUND_S)
    event = await only_event(outbox, SessionsRevoked)
    assert (event.id, event.reason, event.initiator) == (
        emission.event_id,
        "session-removed",
        "user",
    )
    (rule,) = event.sessions
    assert rule.sid == mine
    assert 0 <= rule.until - (now + BOUND_S + MAX_TOKEN_LIFE_S + 600) <= 2
    assert await redis.expiretime(names.DENIED + jti) == iat + 600 + 30
    assert not await sessions.exists(mine)
    assert await sessions.exists(other)
    assert outbox.wake.is_set()


async def test_only_ones_own(sessions: SessionStore, outbox: Outbox, cutoffs: Cutoffs) -> None:
    (hers,) = await opened(sessions, 1)
    (dead,) = await opened(sessions, 1, "bob")
    await cutoffs.subject("bob", "logout-all", "user")
    refusals = []
    for sub, sid in (("bob", hers), ("carol", hers), ("bob", dead), ("bob", "A" * 22)):
        with pytest.raises(RequestRejected) as caught:
            await sessions.own.end(sub, sid, bound_s=BOUND_S)
        refusals.append((caught.value.status, caught.value.code, str(caught.value)))
    assert set(refusals) == {(404, "session_unknown", "there is no such session")}
    assert await sessions.exists(hers)
    assert len(await events_in(outbox)) == 1


async def test_ending_all_others(
    sessions: SessionStore, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_sessions, "MAX_AT_ONCE", 4)
    sids = await opened(sessions, 10)
    (bobs,) = await opened(sessions, 1, "bob")
    emission = await sessions.own.end_others("alice", sids[3], bound_s=BOUND_S)
    assert await all_pages(sessions, 20) == [[sids[3]]]
    events = [event for event in await events_in(outbox) if isinstance(event, SessionsRevoked)]
    assert [len(event.sessions) for event in events] == [4, 4, 1]
    assert {event.reason for event in events} == {"other-sessions-removed"}
    ended = [rule.sid for event in events for rule in event.sessions]
    assert sorted(ended) == sorted(sid for sid in sids if sid != sids[3])
    assert emission is not None
    assert emission.event_id == events[-1].id
    assert await sessions.exists(bobs)
    assert await sessions.own.end_others("alice", sids[3], bound_s=BOUND_S) is None


async def test_the_same_call_sent_twice_ends_and_says_the_same(
    redis: Redis, outbox: Outbox
) -> None:
    sessions = SessionStore(
        redis, outbox, idle_s=60, absolute_s=60, max_token_life_s=60, event_id=lambda: "ev_one"
    )
    first, second = await opened(sessions, 2)
    emissions = [await sessions.own.end("alice", first, bound_s=BOUND_S) for _ in range(2)]
    assert emissions[0] == emissions[1]
    await only_event(outbox, SessionsRevoked)
    assert await sessions.exists(second)


async def test_two_callers_end_one_session_once(sessions: SessionStore, outbox: Outbox) -> None:
    first, second = await opened(sessions, 2)
    answers = await asyncio.gather(
        sessions.own.end("alice", second, bound_s=BOUND_S),
        sessions.own.end("alice", second, bound_s=BOUND_S),
        return_exceptions=True,
    )
    assert sorted(isinstance(answer, RequestRejected) for answer in answers) == [False, True]
    await only_event(outbox, SessionsRevoked)
    assert await sessions.exists(first)


async def test_the_session_stays_where_the_outbox_refuses(
    redis: Redis, sessions: SessionStore
) -> None:
    sids = await opened(sessions, 2)
    await redis.set(names.OUTBOX, "not a stream")
    for call in (
        sessions.own.end("alice", sids[0], bound_s=BOUND_S),
        sessions.own.end_others("alice", sids[0], bound_s=BOUND_S),
    ):
        with pytest.raises(ResponseError, match="TOCSIN"):
            await call
    assert [await sessions.exists(sid) for sid in sids] == [True, True]


async def test_an_index_that_is_none_keeps_no_session_alive(
    redis: Redis, sessions: SessionStore, revocations: Revocations, outbox: Outbox
) -> None:
    (sid,) = await opened(sessions, 1)
    await redis.set(SESSIONS_OF + "alice", "not a set")
    await revocations.revoke_sessions([sid], "logout", "user", bound_s=BOUND_S)
    assert not await sessions.exists(sid)
    await only_event(outbox, SessionsRevoked)
