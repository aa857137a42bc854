"""The sequencer's journal: the bytes of each record, kept before they are published.

Record n has the stream id ``n-0``, which the server accepts once: of two sequencers that build
record n one is journaled, and the other learns what stands there. After a NATS rollback the same
bytes are appended again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from tocsin_issuer.store import names, scripts
from tocsin_schemas.errors import LedgerRejected

MAX_RECORDS: Final = 100_000
MARK_LIFE_S: Final = 60
"""Seconds for which a settled entry can be asked for; nobody waits that long for a commit."""

_ID_TAKEN: Final = "equal or smaller"  # the server's words for an id at or below the last one
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
    """Keeps the newest 100,000 records."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._settle = scripts.load(redis, "settle")

    async def append(self, n: int, text: str, outbox_ids: Sequence[str]) -> JournalEntry:
        """Keep record n. Returns what stands there: ours, or another that was there first.

        Raises:
            LedgerRejected: ``journal_went_on``: n lies behind what the journal still keeps.
        """
        fields: dict[Any, Any] = {_TEXT: text, _OUTBOX_IDS: orjson.dumps(list(outbox_ids))}
        try:
            await self._redis.xadd(names.JOURNAL, fields, id=f"{n}-0", maxlen=MAX_RECORDS)
        except ResponseError as refused:
            standing = await self._at(n)
            if standing is not None:
                return standing
            if _ID_TAKEN in str(refused):
                raise LedgerRejected("journal_went_on") from None
            raise  # out of memory, a replica …: nothing was journaled
        return JournalEntry(n, text, tuple(outbox_ids))

    async def after(self, n: int, limit: int | None = None) -> list[JournalEntry]:
        """The records that follow n, in order; the first ``limit`` of them."""
        rows: Any = await self._redis.xrange(names.JOURNAL, min=f"{n + 1}-0", count=limit)
        return [_entry(row) for row in rows]

    async def settle(self, entry: JournalEntry, term: int, hash: str, seq: int) -> None:
        """The record is in the stream at ``seq``: delete what it carried from the outbox, and move
        the checkpoint, in one step. Settling an older record leaves the checkpoint where it is.
        """
        place: list[str | int] = [term, entry.n, hash, seq]
        await self._settle(
            keys=[names.OUTBOX, names.CHECKPOINT],
            args=[*place, names.COMMITTED, MARK_LIFE_S, *entry.outbox_ids],
        )

    async def checkpoint(self) -> Checkpoint | None:
        """The last record settled, or None in a new ledger."""
        fields: Any = await self._redis.hgetall(names.CHECKPOINT)
        if not fields:
            return None
        return Checkpoint(int(fields["term"]), int(fields["n"]), fields["hash"], int(fields["seq"]))

    async def _at(self, n: int) -> JournalEntry | None:
        rows: Any = await self._redis.xrange(names.JOURNAL, min=f"{n}-0", max=f"{n}-0")
        return _entry(rows[0]) if rows else None


def _entry(row: Any) -> JournalEntry:
    stream_id, fields = row
    n, _, _ = stream_id.partition("-")
    return JournalEntry(int(n), fields[_TEXT], tuple(orjson.loads(fields[_OUTBOX_IDS])))
