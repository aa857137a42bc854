"""The sequencer's journal: the bytes of each record, kept before they are published.

Record n has the stream id ``n-0``, which the server accepts once: of two sequencers that build
record n one is journaled, and the other learns what stands there. After a NATS rollback the same
bytes are appended again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from redis.asyncio import Redis

from tocsin_issuer.store import names, scripts
from tocsin_schemas import record
from tocsin_schemas.errors import LedgerRejected
from tocsin_schemas.record import Record

MAX_RECORDS: Final = 100_000
MAX_BYTES: Final = 512 * 2**20
"""Of records' texts; whatever NATS loses beyond what is kept needs a new term."""
_TEXT: Final = "text"
_OUTBOX_IDS: Final = "outbox"


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A record's text, and the outbox entries that it carries."""

    n: int
    text: str
    outbox_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The last record that is known to be in the stream, and its sequence there."""

    term: int
    n: int
    hash: str
    seq: int


class Journal:
    """Keeps the newest 100,000 records, or 512 MiB of them."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._append = scripts.load(redis, "journal_append")
        self._newest = scripts.load(redis, "journal_newest")
        self._reopen = scripts.load(redis, "journal_reopen")
        self._settle = scripts.load(redis, "settle")
        self._settled = (0, 0)  # what Redis has told us

    async def append(self, n: int, text: str, outbox_ids: Sequence[str]) -> JournalEntry:
        """Keep record n. Returns what stands there: ours, or another that was there first.

        Raises:
            LedgerRejected: ``journal_went_on``: n lies behind what the journal still keeps;
                ``journal_went_back``: it lacks records before n, or does not know that they were
                settled. Redis has lost that, and the outbox may hold what is in the ledger.
        """
        answer: Any = await self._append(
            keys=[names.JOURNAL, names.JOURNAL_BYTES, names.CHECKPOINT],
            args=[n, text, orjson.dumps(list(outbox_ids)), MAX_RECORDS, MAX_BYTES, *self._settled],
        )
        match answer:
            case ["ok"]:
                return JournalEntry(n, text, tuple(outbox_ids))
            case ["standing", standing, its_ids]:
                return JournalEntry(n, standing, tuple(orjson.loads(its_ids)))
            case _:
                raise LedgerRejected(f"journal_{answer[0]}")

    async def reopen(
        self, n: int, text: str, given_up: Sequence[JournalEntry], again: Mapping[int, str]
    ) -> bool:
        """Keep record n, which opens a term, in place of all that stand there and after it.

        ``given_up`` are those, as they were read; of each, by its number, ``again`` is the text of
        an outbox entry with what it carried. What has been settled, and so is in the outbox no
        more, is put back there in the same step. Returns False where others stand there by now.
        """
        ids = {entry.n: entry.outbox_ids for entry in given_up}
        pairs = [part for n, text in again.items() for part in ((*ids[n], "")[0], text)]
        standing = given_up[0].text if given_up else ""
        newest = given_up[-1].n if given_up else n - 1
        return bool(
            await self._reopen(
                keys=[names.JOURNAL, names.JOURNAL_BYTES, names.OUTBOX, names.JOURNAL_DRAFT],
                args=[n, text, newest, standing, *pairs],
            )
        )

    async def newest(self) -> int:
        """The number of the newest record that it keeps; 0 where it is empty."""
        return int(await self._newest(keys=[names.JOURNAL]))

    async def after(self, n: int, limit: int | None = None) -> list[JournalEntry]:
        """The records that follow n, in order; the first ``limit`` of them."""
        rows: Any = await self._redis.xrange(names.JOURNAL, min=f"{n + 1}-0", count=limit)
        return [_entry(row) for row in rows]

    async def vouches_for(self, parsed: Record) -> bool:
        """Whether it keeps this very record, or the next one, which names its hash."""
        entry = next(iter(await self.after(parsed.n - 1, 1)), None)
        if entry is None or entry.n > parsed.n + 1:
            return False
        if entry.n == parsed.n:
            return entry.text == parsed.text
        return record.parse_unverified(entry.text).prev == parsed.hash

    async def settle(self, entry: JournalEntry, term: int, hash: str, seq: int) -> None:
        """The record is in the stream at ``seq``: delete what it carried from the outbox, and move
        the checkpoint, in one step. Settling an older record leaves the checkpoint where it is.
        """
        await self._settle(
            keys=[names.OUTBOX, names.CHECKPOINT],
            args=[term, entry.n, hash, seq, orjson.dumps(entry.outbox_ids)],
        )
        self._settled = max(self._settled, (term, entry.n))

    async def checkpoint(self) -> Checkpoint | None:
        """The last record settled, or None in a new ledger."""
        fields: Any = await self._redis.hgetall(names.CHECKPOINT)
        if not fields:
            return None
        found = Checkpoint(
            int(fields["term"]), int(fields["n"]), fields["hash"], int(fields["seq"])
        )
        self._settled = max(self._settled, (found.term, found.n))
        return found


def _entry(row: Any) -> JournalEntry:
    stream_id, fields = row
    n, _, _ = stream_id.partition("-")
    return JournalEntry(int(n), fields[_TEXT], tuple(orjson.loads(fields[_OUTBOX_IDS])))
