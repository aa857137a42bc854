"""Events wait in the order in which they came, and a caller learns when they are in the ledger."""

import asyncio
import time

import pytest
from redis.asyncio import Redis

from tests.issuer.store.helpers import events_in
from tocsin_issuer.store import names
from tocsin_issuer.store.event_text import encode, new_event_id
from tocsin_issuer.store.journal import Journal, JournalEntry
from tocsin_issuer.store.outbox import Outbox, Waiting
from tocsin_issuer.store.restoration import Restoration
from tocsin_schemas.errors import LedgerRejected, RequestRejected
from tocsin_schemas.events import KeyRevoked, RevokedToken, TokensRevoked


def revoked(jti: str) -> TokensRevoked:
    return TokensRevoked(
        id=new_event_id(), reason="test", initiator="admin", tokens=(RevokedToken(jti, 5),)
    )


async def test_events_come_back_as_they_went_in_and_in_order(outbox: Outbox) -> None:
    key = KeyRevoked(id=new_event_id(), reason="test", initiator="admin", kid="k" * 43)
    odd = revoked('"}]}]\\u0000 :ü\n')
    first = await outbox.add([revoked("a"), key])
    second = await outbox.add([odd])
    entries = await outbox.read(10)
    assert [entry.id for entry in entries] == [first, second]
    assert entries[0].events[1] == key
    assert entries[1].events == (odd,)
    assert [entry.size for entry in entries] == [
        len(encode(one.events).encode()) for one in entries
    ]
    assert [entry.id for entry in await outbox.read(1)] == [first]
    assert [entry.id for entry in await outbox.read(10, after=first)] == [second]
    assert await outbox.read(10, after=second) == []
    assert await outbox.length() == 2


async def test_what_waits_is_measured(outbox: Outbox) -> None:
    assert await outbox.waiting() == Waiting(0, 0.0, 0)
    first = await outbox.add([revoked("a")])
    await asyncio.sleep(0.2)
    await outbox.add([revoked("b")])
    asked = time.monotonic()
    both = await outbox.waiting()
    assert (both.entries, both.rejected) == (2, 0)
    assert 0.15 < both.oldest_s < 5
    await outbox.reject(first, "test")
    waiting = await outbox.waiting()
    assert (waiting.entries, waiting.rejected) == (1, 1)
    assert waiting.oldest_s < both.oldest_s - 0.15 + (time.monotonic() - asked)


async def test_what_no_verifier_could_read_does_not_get_in(outbox: Outbox) -> None:
    bad = TokensRevoked(id="not an id", reason="test", initiator="admin", tokens=())
    with pytest.raises(LedgerRejected, match="event_malformed"):
        await outbox.add([revoked("a"), bad])
    with pytest.raises(RequestRejected) as caught:
        await outbox.add([revoked("x" * 250)] * 2000)
    assert caught.value.status == 413
    assert await outbox.read(10) == []
    assert not outbox.wake.is_set()


async def test_an_entry_that_cannot_be_read_is_not_passed_over(
    redis: Redis, outbox: Outbox
) -> None:
    await redis.xadd(names.OUTBOX, {"events": '[{"kind":"of-tomorrow","members":{}}]'})
    await outbox.add([revoked("a")])
    with pytest.raises(LedgerRejected, match="event_malformed"):
        await outbox.read(10)


@pytest.mark.parametrize(
    "text",
    ["[],[]", "", "[1]", '[{"kind":"tokens-revoked"}]', '[{"kind":"tick","members":{}}]'],
)
async def test_one_bad_entry_among_good_ones_is_not_passed_over(
    redis: Redis, outbox: Outbox, text: str
) -> None:
    await outbox.add([revoked("a")])
    await redis.xadd(names.OUTBOX, {"events": text})
    await outbox.add([revoked("b")])
    with pytest.raises(LedgerRejected, match="event_malformed"):
        await outbox.read(10)


async def test_a_page_ends_where_it_is_long_enough(outbox: Outbox) -> None:
    ids = [await outbox.add([revoked(f"{number:03}")]) for number in range(600)]
    assert [entry.id for entry in await outbox.read(1000)] == ids
    assert [entry.id for entry in await outbox.read(599)] == ids[:599]
    size = (await outbox.read(1))[0].size
    assert [entry.id for entry in await outbox.read(1000, length=400 * size)] == ids[:400]
    page = await outbox.read(1000, after=ids[99], length=400 * size - 1)
    assert [entry.id for entry in page] == ids[100:499]
    assert [entry.id for entry in await outbox.read(9, length=1)] == ids[:1], "one is always read"


async def test_an_addition_wakes_the_sequencer(outbox: Outbox) -> None:
    waiting = asyncio.create_task(outbox.wake.wait())
    await asyncio.sleep(0)
    emission = await outbox.emit(revoked("a"))
    assert await asyncio.wait_for(waiting, 1)
    (event,) = await events_in(outbox)
    assert event.id == emission.event_id


async def test_a_caller_learns_of_the_commit_in_its_own_process(outbox: Outbox) -> None:
    entry_id = await outbox.add([revoked("a")])
    waiting = [asyncio.create_task(outbox.committed(entry_id, 5)) for _ in range(3)]
    await asyncio.sleep(0)
    outbox.mark_committed([entry_id])
    assert await asyncio.gather(*waiting) == [True] * 3
    assert await outbox.committed(entry_id, 0), "also where it came before the question"


async def test_a_caller_learns_of_the_commit_in_another_process(
    redis: Redis, outbox: Outbox
) -> None:
    entry_id = await outbox.add([revoked("a")])
    waiting = asyncio.create_task(outbox.committed(entry_id, 5))
    journal = Journal(redis)
    await journal.settle(await journal.append(1, "text", [entry_id]), 1, "hash", 1)
    assert await waiting


async def test_many_entries_of_another_process_are_found_in_their_records(
    redis: Redis, outbox: Outbox
) -> None:
    """Of records before the one that is waited for, and of one that is not in the stream yet,
    nothing is told.
    """
    journal = Journal(redis)
    await journal.append(1, "text", ["5-0"])
    ids = [await outbox.add([revoked(f"{number}")]) for number in range(30)]
    for n, start in enumerate(range(0, 30, 10), 2):
        await journal.append(2 * n - 2, "text", ids[start : start + 10])
        await journal.append(2 * n - 1, "text", [])
    await journal.settle(JournalEntry(5, "text", tuple(ids[:20])), 1, "hash", 5)
    waiting = [asyncio.create_task(outbox.committed(entry_id, 0.4)) for entry_id in ids]
    assert await asyncio.gather(*waiting) == [True] * 20 + [False] * 10
    assert not await outbox.committed("5-1", 0.15)


async def test_without_a_commit_nobody_says_yes(redis: Redis, outbox: Outbox) -> None:
    entry_id = await outbox.add([revoked("a")])
    assert not await outbox.committed(entry_id, 0.05)
    await redis.xdel(names.OUTBOX, entry_id)
    assert not await outbox.committed(entry_id, 0.3), (
        "gone proves nothing: Redis may have gone back"
    )


async def test_the_revocation_of_a_key_is_remembered_with_its_event(
    redis: Redis, outbox: Outbox
) -> None:
    """And again by who puts back what a Redis that went back has lost."""
    key = KeyRevoked(id=new_event_id(), reason="test", initiator="admin", kid="k" * 43)
    emission = await outbox.revoke_key(key)
    (entry,) = await outbox.read(10)
    assert (entry.id, entry.events) == (emission.entry_id, (key,))
    assert outbox.wake.is_set()
    assert await redis.sismember(names.REVOKED_KEYS, key.kid)
    await redis.flushall()
    await Restoration(redis).revoke(key)
    assert await redis.sismember(names.REVOKED_KEYS, key.kid)
