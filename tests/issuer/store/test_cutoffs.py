"""A cutoff hits every token minted before it and none minted after it."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from tests.issuer.store.conftest import ABSOLUTE_S, BOUND_S, MAX_TOKEN_LIFE_S
from tests.issuer.store.helpers import events_in, mint, only_event, server_time
from tocsin_issuer.store import names
from tocsin_issuer.store.cutoffs import Cutoffs
from tocsin_issuer.store.outbox import Emission, Outbox
from tocsin_issuer.store.register import Register
from tocsin_issuer.store.sessions import SessionStore
from tocsin_schemas.errors import RequestRejected
from tocsin_schemas.events import (
    AllRevokedBefore,
    ClientRevokedBefore,
    SubjectRevokedBefore,
)

Cut = Callable[[Cutoffs], Awaitable[Emission]]
SCOPES: list[Cut] = [
    lambda cutoffs: cutoffs.subject("alice", "test", "user"),
    lambda cutoffs: cutoffs.client("app", "test", "admin"),
    lambda cutoffs: cutoffs.everything("test", "admin"),
]


async def before_of(outbox: Outbox, emission: Emission) -> int:
    for event in await events_in(outbox):
        if event.id == emission.event_id:
            assert isinstance(event, SubjectRevokedBefore | ClientRevokedBefore | AllRevokedBefore)
            return event.before
    raise AssertionError("the event is not in the outbox")


@pytest.mark.parametrize("cut", SCOPES, ids=["subject", "client", "all"])
async def test_before_and_after_with_no_pause_between(
    cut: Cut, cutoffs: Cutoffs, register: Register, outbox: Outbox
) -> None:
    for _ in range(3):
        _, earlier = await mint(register)
        before = await before_of(outbox, await cut(cutoffs))
        _, later = await mint(register)
        assert earlier < before <= later
        if later - earlier >= 3:
            break


@pytest.mark.parametrize("cut", SCOPES, ids=["subject", "client", "all"])
async def test_before_and_after_under_load(
    cut: Cut, cutoffs: Cutoffs, register: Register, outbox: Outbox
) -> None:
    """Minting never stops; what was answered before the cutoff was asked for is hit, and what was
    asked for after it was answered is not.
    """
    cutting = asyncio.Event()
    cut_done = asyncio.Event()
    warm = asyncio.Event()
    earlier: list[int] = []
    later: list[int] = []

    async def minter() -> None:
        while len(later) < 40:
            asked_after = cut_done.is_set()
            _, iat = await mint(register)
            if asked_after:
                later.append(iat)
            elif not cutting.is_set():
                earlier.append(iat)
                if len(earlier) == 40:
                    warm.set()

    minters = [asyncio.create_task(minter()) for _ in range(8)]
    await warm.wait()
    cutting.set()
    emission = await cut(cutoffs)
    cut_done.set()
    await asyncio.gather(*minters)
    before = await before_of(outbox, emission)
    assert max(earlier) < before <= min(later)


async def test_a_clock_that_went_back_misses_nothing(
    redis: Redis, cutoffs: Cutoffs, register: Register, outbox: Outbox
) -> None:
    """The newest iat is remembered: here one that lies two seconds ahead of the clock."""
    ahead = await server_time(redis) + 2
    await redis.set(names.CUTOFF_OF_SUBJECT + "alice", ahead)
    _, iat = await mint(register)
    assert iat == ahead
    assert await before_of(outbox, await cutoffs.subject("alice", "test", "user")) == ahead + 1


async def test_an_actor_is_cut_off_too(
    cutoffs: Cutoffs, register: Register, outbox: Outbox
) -> None:
    _, earlier = await mint(register, client_id="front", actors=("app",))
    before = await before_of(outbox, await cutoffs.client("app", "test", "admin"))
    _, later = await mint(register, client_id="front", actors=("app",))
    assert earlier < before <= later


async def test_rules_live_as_long_as_the_tokens_they_hit(
    redis: Redis, cutoffs: Cutoffs, outbox: Outbox
) -> None:
    now = await server_time(redis)
    await cutoffs.client('cl"i\\ent/ü', "fraud-suspected", "policy")
    event = await only_event(outbox, ClientRevokedBefore)
    assert event.client_id == 'cl"i\\ent/ü'
    assert (event.reason, event.initiator) == ("fraud-suspected", "policy")
    assert now < event.before <= now + 2
    assert event.until == event.before + MAX_TOKEN_LIFE_S + 30


async def test_too_far_ahead_is_refused_and_changes_nothing(
    redis: Redis, cutoffs: Cutoffs, register: Register, outbox: Outbox
) -> None:
    await redis.set(names.LAST_IAT_OF_ALL, await server_time(redis) + 10)
    await redis.set(names.LAST_IAT_OF_SUBJECT + "alice", await server_time(redis) + 10)
    before = sorted(await redis.keys("*"))
    for cut in (
        cutoffs.everything("test", "admin"),
        cutoffs.subject("alice", "test", "user"),
    ):
        with pytest.raises(RequestRejected, match="too many cutoffs") as caught:
            await cut
        assert (caught.value.code, caught.value.status) == ("cutoff_ahead", 429)
    assert sorted(await redis.keys("*")) == before
    assert not outbox.wake.is_set()


async def test_a_busy_user_does_not_stand_in_an_operators_way(
    cutoffs: Cutoffs, register: Register
) -> None:
    with pytest.raises(RequestRejected, match="too many cutoffs"):
        for _ in range(20):
            await mint(register)
            await cutoffs.subject("alice", "test", "user")
    await mint(register)
    await cutoffs.client("app", "test", "admin")
    await mint(register)
    await cutoffs.everything("test", "admin")


async def test_a_subjects_sessions_end_and_nobody_elses(
    cutoffs: Cutoffs, sessions: SessionStore, register: Register
) -> None:
    hers = await sessions.create("alice", "app", ["orders"])
    his = await sessions.create("bob", "app", ["orders"])
    await cutoffs.subject("alice", "test", "user")
    with pytest.raises(RequestRejected) as caught:
        await mint(register, sid=hers.sid)
    assert caught.value.code == "session_gone"
    with pytest.raises(RequestRejected, match="not valid"):
        await sessions.refresh(hers.refresh_token, bound_s=BOUND_S)
    await sessions.refresh(his.refresh_token, bound_s=BOUND_S)
    anew = await sessions.create("alice", "app", ["orders"])
    await mint(register, sid=anew.sid)
    await sessions.refresh(anew.refresh_token, bound_s=BOUND_S)


async def test_the_sessions_of_a_client_end_and_no_others(
    redis: Redis, cutoffs: Cutoffs, sessions: SessionStore, register: Register
) -> None:
    """Those that were opened through it: for who asks, for who lists them, and for who ends them.
    Those of other clients stay, though it acted in them.
    """
    through = [await sessions.create("alice", "app", ["orders"]) for _ in range(3)]
    other = await sessions.create("alice", "web", ["orders"])
    await cutoffs.client("app", "test", "admin")
    for gone, client_id in zip(through, ("app", "app", "orders"), strict=True):
        with pytest.raises(RequestRejected) as caught:
            await mint(register, client_id=client_id, sid=gone.sid)  # by exchange, the last one
        assert caught.value.code == "session_gone"
    with pytest.raises(RequestRejected, match="not valid"):
        await sessions.refresh(through[0].refresh_token, bound_s=BOUND_S)
    with pytest.raises(RequestRejected) as caught:
        await sessions.own.end("alice", through[1].sid, bound_s=BOUND_S)
    assert caught.value.code == "session_unknown"
    assert await sessions.own.end_others("alice", other.sid, bound_s=BOUND_S) is None
    await mint(register, client_id="app", sid=other.sid)
    await sessions.refresh(other.refresh_token, bound_s=BOUND_S)
    anew = await sessions.create("alice", "app", ["orders"])
    await mint(register, sid=anew.sid)
    await sessions.refresh(anew.refresh_token, bound_s=BOUND_S)
    listed = (await sessions.own.page("alice", limit=10)).sessions
    assert {view.sid for view in listed} == {other.sid, anew.sid}
    assert await redis.ttl(names.EPOCH_OF_CLIENT + "app") > ABSOLUTE_S


async def test_all_sessions_end_without_a_scan(
    redis: Redis, cutoffs: Cutoffs, sessions: SessionStore, register: Register
) -> None:
    earlier = [await sessions.create(f"u{i}", "app", ["orders"]) for i in range(5)]
    await cutoffs.everything("test", "admin")
    assert await sessions.exists(earlier[0].sid), "nothing was searched for"
    with pytest.raises(RequestRejected):
        await mint(register, sub="u0", sid=earlier[0].sid)
    for session in earlier:
        with pytest.raises(RequestRejected):
            await sessions.refresh(session.refresh_token, bound_s=BOUND_S)
    later = await sessions.create("u0", "app", ["orders"])
    await mint(register, sub="u0", sid=later.sid)
    await sessions.refresh(later.refresh_token, bound_s=BOUND_S)
    assert await redis.ttl(names.EPOCH_OF_ALL) == -1


async def test_an_epoch_outlives_the_sessions_that_it_ended(
    redis: Redis, cutoffs: Cutoffs, sessions: SessionStore
) -> None:
    await cutoffs.subject("alice", "test", "user")
    assert await redis.ttl(names.EPOCH_OF_SUBJECT + "alice") > ABSOLUTE_S
    session = await sessions.create("alice", "app", ["orders"])
    await redis.delete(names.EPOCH_OF_SUBJECT + "alice")  # as if it had expired
    await sessions.refresh(session.refresh_token, bound_s=BOUND_S)


async def test_a_cutoff_that_fails_has_done_nothing(
    redis: Redis, cutoffs: Cutoffs, sessions: SessionStore
) -> None:
    session = await sessions.create("alice", "app", ["orders"])
    await redis.set(names.OUTBOX, "not a stream")
    with pytest.raises(ResponseError, match="TOCSIN"):
        await cutoffs.subject("alice", "test", "user")
    assert not await redis.exists(names.CUTOFF_OF_SUBJECT + "alice")
    await redis.delete(names.OUTBOX)
    await sessions.refresh(session.refresh_token, bound_s=BOUND_S)


async def test_logging_out_everywhere_and_in_again_at_once(
    cutoffs: Cutoffs, sessions: SessionStore, register: Register, outbox: Outbox
) -> None:
    before = await before_of(outbox, await cutoffs.subject("alice", "logout-all", "user"))
    session = await sessions.create("alice", "app", ["orders"])
    _, iat = await mint(register, sid=session.sid)
    assert iat >= before
