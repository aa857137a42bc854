"""What is in the ledger and not yet settled in Redis."""

from __future__ import annotations

from tocsin_issuer.store.journal import Journal, JournalEntry
from tocsin_schemas.record import Record


class Settling:
    """Settles several records in one step: each costs Redis an fsync.

    Until it has been done the outbox still holds what they carry: whoever reads it meanwhile would
    commit that a second time.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._last: tuple[Record, int] | None = None
        self._outbox_ids: list[str] = []

    def add(self, entry: JournalEntry, parsed: Record, seq: int) -> None:
        """The record of ``entry`` is in the stream at ``seq``."""
        self._last = (parsed, seq)
        self._outbox_ids += entry.outbox_ids

    async def finish(self) -> None:
        """Settle all; what fails is kept, and is settled the next time.

        Raises:
            RedisError: it is not known whether it has been done. Doing it again does no harm.
        """
        if self._last is None:
            return
        parsed, seq = self._last
        together = JournalEntry(parsed.n, parsed.text, tuple(self._outbox_ids))
        await self._journal.settle(together, parsed.term, parsed.hash, seq)
        self._last = None
        self._outbox_ids = []
