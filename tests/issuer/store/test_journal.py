"""One text for one n, and a checkpoint that moves together with the outbox."""

import asyncio

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from tests.issuer.store.helpers import events_in
from tests.issuer.store.test_outbox import revoked
from tocsin_issuer.store import event_text, names
from tocsin_issuer.store import journal as journal_module
from tocsin_issuer.store.journal import Checkpoint, Journal, JournalEntry
from tocsin_issuer.store.outbox import Outbox
from tocsin_schemas.errors import LedgerRejected
from tocsin_schemas.events import TokensRevoked


@pytest.fixture
def journal(redis: Redis) -> Journal:
    return Journal(redis)


async def test_of_two_records_n_the_first_one_stands(journal: Journal) -> None:
    ours = await journal.append(1, "ours", ["1-1"])
    assert ours == JournalEntry(1, "ours", ("1-1",))
    assert await journal.append(1, "theirs", ["2-2"]) == ours
    assert await journal.append(2, "next", []) == JournalEntry(2, "next", ())
    assert [entry.text for entry in await journal.after(0)] == ["ours", "next"]
    assert [entry.n for entry in await journal.after(1)] == [2]
    assert [entry.n for entry in await journal.after(0, limit=1)] == [1]


async def test_of_fifty_writers_one_wins_and_all_know_who(journal: Journal) -> None:
    answers = await asyncio.gather(*(journal.append(1, f"by {i}", []) for i in range(50)))
    assert len(set(answers)) == 1
    assert await journal.after(0) == [answers[0]]


async def test_a_journal_that_lacks_records_takes_no_more(journal: Journal) -> None:
    """Its Redis has lost them: what came next would hide that."""
    assert await journal.newest() == 0
    with pytest.raises(LedgerRejected, match="journal_went_back"):
        await journal.append(2, "text", [])
    await journal.append(1, "text", [])
    with pytest.raises(LedgerRejected, match="journal_went_back"):
        await journal.append(3, "text", [])
    assert await journal.newest() == 1


async def test_a_redis_that_no_longer_knows_what_was_settled_takes_no_more(
    redis: Redis, journal: Journal
) -> None:
    """What the record carried waits in its outbox again: the next one could carry it once more."""
    older = await journal.append(1, "text", [])
    await journal.settle(older, 1, "hash", 7)
    settled = await journal.append(2, "text", [])
    before = await redis.dump(names.CHECKPOINT)
    assert before is not None
    await journal.settle(settled, 1, "hash", 8)
    await redis.restore(names.CHECKPOINT, 0, before, replace=True)
    with pytest.raises(LedgerRejected, match="journal_went_back"):
        await journal.append(3, "text", [])
    await journal.settle(settled, 1, "hash", 8)
    await journal.append(3, "text", [])


async def test_a_record_behind_the_journal_is_refused(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "MAX_RECORDS", 5)
    for n in range(1, 10):
        await journal.append(n, "text", [])
    assert [entry.n for entry in await journal.after(0)] == [5, 6, 7, 8, 9]
    with pytest.raises(LedgerRejected, match="journal_went_on"):
        await journal.append(4, "text", [])


async def test_long_records_go_sooner_and_the_newest_stays(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "MAX_BYTES", 100)
    for n in range(1, 12):
        await journal.append(n, "x" * 10, [])
    assert [entry.n for entry in await journal.after(0)] == list(range(2, 12))
    await journal.append(12, "x" * 55, [])
    assert [entry.n for entry in await journal.after(0)] == [8, 9, 10, 11, 12]
    await journal.append(13, "x" * 200, [])
    assert [entry.n for entry in await journal.after(0)] == [13]
    await journal.append(14, "x", [])
    assert [entry.n for entry in await journal.after(0)] == [14]
    for n in range(15, 40):
        await journal.append(n, "x" * 10, [])
    assert len(await journal.after(0)) == 10


async def test_a_full_server_is_no_answer(redis: Redis, journal: Journal) -> None:
    await redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(ResponseError):
            await journal.append(1, "text", [])
    finally:
        await redis.config_set("maxmemory", 0)
    assert await journal.after(0) == []


async def test_settling_deletes_and_moves_in_one_step(journal: Journal, outbox: Outbox) -> None:
    ids = [await outbox.add([revoked(name)]) for name in "abc"]
    assert await journal.checkpoint() is None
    entry = await journal.append(1, "text", ids[:2])
    await journal.settle(entry, term=1, hash="h1", seq=10)
    assert [one.id for one in await outbox.read(10)] == ids[2:]
    assert await journal.checkpoint() == Checkpoint(1, 1, "h1", 10)


async def test_the_checkpoint_never_goes_back(journal: Journal) -> None:
    for term, n, seq in [(1, 5, 50), (1, 4, 60), (2, 1, 3), (1, 9, 90)]:
        await journal.settle(JournalEntry(n, "text", ()), term, f"{term}.{n}", seq)
    assert await journal.checkpoint() == Checkpoint(2, 1, "2.1", 3)


async def test_settling_an_older_record_still_empties_the_outbox(
    journal: Journal, outbox: Outbox
) -> None:
    entry_id = await outbox.add([revoked("a")])
    await journal.settle(JournalEntry(5, "text", ()), 1, "h5", 50)
    await journal.settle(JournalEntry(4, "text", (entry_id,)), 1, "h4", 40)
    assert await outbox.read(10) == []
    assert await journal.checkpoint() == Checkpoint(1, 5, "h5", 50)


async def test_a_settlement_that_fails_has_done_nothing(
    redis: Redis, journal: Journal, outbox: Outbox
) -> None:
    entry_id = await outbox.add([revoked("a")])
    await redis.set(names.CHECKPOINT, "not a hash")
    with pytest.raises(ResponseError, match="TOCSIN"):
        await journal.settle(JournalEntry(1, "text", (entry_id,)), 1, "h", 1)
    assert [entry.id for entry in await outbox.read(10)] == [entry_id]


async def test_a_full_server_can_still_be_settled(
    redis: Redis, journal: Journal, outbox: Outbox
) -> None:
    entry = await journal.append(1, "text", [await outbox.add([revoked("a")])])
    await redis.config_set("maxmemory", 1)
    try:
        await journal.settle(entry, 1, "h", 1)
    finally:
        await redis.config_set("maxmemory", 0)
    assert await outbox.read(10) == []
    assert await journal.checkpoint() == Checkpoint(1, 1, "h", 1)


async def test_a_new_term_takes_the_place_of_the_old_records(
    journal: Journal, redis: Redis, outbox: Outbox
) -> None:
    """What was settled comes back into the outbox, what waits there is not doubled."""
    waiting = await outbox.add([revoked("waits")])
    entries = [
        await journal.append(n, f"old {n}", ids)
        for n, ids in ((1, ["1-1"]), (2, ["1-2"]), (3, [waiting]), (4, []))
    ]
    given_up = entries[1:]
    again = {n: event_text.encode([revoked(f"of {n}")]) for n in (2, 3, 4)}
    assert await journal.reopen(2, "new", given_up, again)
    assert [(entry.n, entry.text) for entry in await journal.after(0)] == [(1, "old 1"), (2, "new")]
    assert await journal.newest() == 2
    left = [event for event in await events_in(outbox) if isinstance(event, TokensRevoked)]
    assert [event.tokens[0].jti for event in left] == ["waits", "of 2", "of 4"]
    kept = await redis.get(names.JOURNAL_BYTES)
    assert kept == str(len("old 1") + len("new"))
    assert (await journal.append(3, "goes on", [])).text == "goes on"
    assert [entry.n for entry in await journal.after(0)] == [1, 2, 3]


async def test_a_new_term_at_the_journals_end(journal: Journal) -> None:
    await journal.append(1, "old", [])
    assert await journal.reopen(2, "new", [], {})
    assert [entry.text for entry in await journal.after(0)] == ["old", "new"]


@pytest.mark.parametrize("known", [0, 1, 3])
async def test_a_journal_that_has_moved_takes_no_new_term(
    journal: Journal, outbox: Outbox, known: int
) -> None:
    for n in range(1, 4):
        await journal.append(n, f"old {n}", [])
    before = await journal.after(0)
    given_up = [JournalEntry(2, "another", ()), JournalEntry(3, "old 3", ())]
    again = {2: event_text.encode([revoked("x")])} if known > 1 else {}
    assert not await journal.reopen(2, "new", given_up[: known - 1 if known else 0], again)
    assert await journal.after(0) == before
    assert await outbox.length() == 0


async def test_of_two_that_open_a_term_one_is_journaled(journal: Journal) -> None:
    await journal.append(1, "old 1", [])
    given_up = [await journal.append(2, "old 2", [])]
    answers = [await journal.reopen(2, text, given_up, {}) for text in ("one", "two")]
    assert answers == [True, False]
    assert [entry.text for entry in await journal.after(1)] == ["one"]
