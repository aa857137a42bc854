"""What is in the ledger and not yet settled in Redis."""

from __future__ import annotations

import asyncio

from tocsin_issuer.store.journal import Journal, JournalEntry
from tocsin_schemas.record import Record


class Settling:
    """Settles several records in one step: each costs Redis an fsync.

    Until it has been done the outbox still holds what they carry: whoever reads it meanwhile from
    its start would commit that a second time.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._last: tuple[Record, int] | None = None
        self._outbox_ids: list[str] = []
        self._one_at_a_time = asyncio.Lock()

    def add(self, entry: JournalEntry, parsed: Record, seq: int) -> None:
        """The record of ``entry`` is in the stream at ``seq``."""
        self._last = (parsed, seq)
        self._outbox_ids += entry.outbox_ids

    async def finish(self) -> None:
        """Settle all that has been added so far; what fails is kept, and settled the next time.

        Raises:
            RedisError: it is not known whether it has been done. Doing it again does no harm.
        """
        async with self._one_at_a_time:
            if self._last is None:
                return
            last, ids = self._last, self._outbox_ids
            self._last, self._outbox_ids = None, []
            try:
                parsed, seq = last
                together = JournalEntry(parsed.n, parsed.text, tuple(ids))
                await self._journal.settle(together, parsed.term, parsed.hash, seq)
            except BaseException:
                self._last = self._last or last
                self._outbox_ids = ids + self._outbox_ids
                raise
