"""From the outbox into the ledger: records built, checked, journaled, appended, and settled."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence

from tocsin_issuer.core.sequencer import Sequencer
from tocsin_issuer.sequencing.appender import Appender, SteppedDown
from tocsin_issuer.sequencing.commit_meter import CommitMeter
from tocsin_issuer.sequencing.groups import GROUP_LENGTH, next_group
from tocsin_issuer.sequencing.settling import Settling
from tocsin_issuer.store import event_text
from tocsin_issuer.store.journal import Journal, JournalEntry
from tocsin_issuer.store.outbox import Outbox, RawEntry
from tocsin_revocation_bus.clocks import wall_clock
from tocsin_revocation_bus.core.record_checks import is_plain
from tocsin_revocation_bus.core.replica import Replica
from tocsin_revocation_bus.tasks import end
from tocsin_schemas import record
from tocsin_schemas.errors import DocumentRejected, LedgerRejected
from tocsin_schemas.events import Event, RawEvent
from tocsin_schemas.record import Record

PAGE = 4000  # outbox entries read at once
_PAGES_AHEAD = 2
_COMMAND_CODES = frozenset({"cutoff_ahead", "event_malformed", "record_malformed"})
_log = logging.getLogger("tocsin.sequencer")


class Committing:
    """For the active sequencer. Records and heartbeats take turns: ``turn`` is held by whoever has
    a message in flight, and by whoever makes the sequencer active or a candidate.
    """

    def __init__(
        self,
        *,
        sequencer: Sequencer,
        replica: Replica,
        appender: Appender,
        outbox: Outbox,
        journal: Journal,
    ) -> None:
        self.turn = asyncio.Lock()
        self.settling = Settling(journal)
        self.meter = CommitMeter()
        self._sequencer = sequencer
        self._replica = replica
        self._appender = appender
        self._outbox = outbox
        self._journal = journal
        self._sending: asyncio.Task[None] | None = None
        self._sent: Record | None = None  # the record that it sends

    async def commit_waiting(self) -> bool:
        """Commit what waits, in groups and in order, until one of them was not committed whole:
        then the outbox is to be read again. Returns False where nothing waits.

        The next pages are read, and former ones settled, meanwhile; nobody else takes entries out
        while we are active.
        """
        await self.settling.finish()  # before anything is read: it must not be read again
        pages = deque([asyncio.create_task(self._read())])
        settled: asyncio.Task[None] | None = None
        found = False
        try:
            while True:
                while len(pages) <= _PAGES_AHEAD:
                    pages.append(asyncio.create_task(self._read_behind(pages[-1])))
                entries = await pages.popleft()
                found = found or bool(entries)
                if not entries or not await self._commit_groups(entries):
                    break
                if settled is None or settled.done():
                    if settled is not None:
                        settled.result()
                    settled = asyncio.create_task(self.settling.finish())
            await self._landed()
            if settled is not None:
                await settled
        except Exception:
            await self._landed()  # nobody gives up a message in flight
            raise
        finally:
            await end(*pages, *(task for task in (settled, self._sending) if task is not None))
            self._sending = None
        return found

    async def _read(self, after: str | None = None) -> list[RawEntry]:
        """A page is one record's worth."""
        return await self._outbox.read_raw(PAGE, after=after, length=GROUP_LENGTH)

    async def _read_behind(self, page: asyncio.Task[list[RawEntry]]) -> list[RawEntry]:
        entries = await page
        return await self._read(after=entries[-1].id) if _fills_a_page(entries) else []

    async def _commit_groups(self, entries: Sequence[RawEntry]) -> bool:
        while entries:
            group = next_group(entries)
            if not await self._commit_group(group):
                return False
            entries = entries[len(group) :]
        return True

    async def _commit_group(self, entries: Sequence[RawEntry]) -> bool:
        try:
            return await self._send(
                [entry.id for entry in entries],
                [event for entry in entries for event in entry.events],
            )
        except (LedgerRejected, DocumentRejected) as rejected:
            if not _is_the_commands_fault(rejected):
                raise
            if len(entries) > 1:
                for entry in entries:  # find the one that no agent would accept
                    if not await self._commit_group([entry]):
                        break  # what another one's record holds must not be committed again
                return False
            event_text.read_all([entries[0].events])  # what cannot be read here has to stay
            _log.error("dropped outbox entry %s: %s", entries[0].id, rejected.code)
            await self._outbox.reject(entries[0].id, rejected.code)
            return False

    async def commit(self, outbox_ids: Sequence[str], carried: Sequence[Event | RawEvent]) -> bool:
        """Build, check as an agent would, journal, append. Nothing is journaled that would halt.

        Returns whether it was this record; False: the journal held another one for its place.

        Raises:
            LedgerRejected, DocumentRejected: an agent would refuse the record.
            SteppedDown: somebody else appends. What was read of the outbox may be in the ledger by
                now; in the journal it would be appended once more, by whoever is active.
        """
        ours = await self._send(outbox_ids, carried)
        await self._landed()
        return ours

    async def _send(self, outbox_ids: Sequence[str], carried: Sequence[Event | RawEvent]) -> bool:
        """As :meth:`commit`, but for the answer: the record is on its way when this returns. While
        it is, the next one may be built upon it and journaled. The journal has one record for each
        place, so whatever becomes of the one on its way, this is what follows it.
        """
        if self._sent is not None and self._sending is not None and not is_plain(self._sent):
            await self._landed()
        entry, parsed, ours = await self._prepare(outbox_ids, carried)
        await self._landed()
        self._sent = parsed
        self._sending = asyncio.create_task(self.append(entry, parsed))
        if not ours:
            await self._landed()
        return ours

    async def _landed(self) -> None:
        """Wait for the record on its way."""
        sending, self._sending = self._sending, None
        if sending is not None:
            await sending

    async def _prepare(
        self, outbox_ids: Sequence[str], carried: Sequence[Event | RawEvent]
    ) -> tuple[JournalEntry, Record, bool]:
        """The next record, journaled, and whether it is the one that was asked for."""
        if not self._sequencer.active:
            raise SteppedDown("not_active")
        if self._sequencer.overtaken:
            await self.step_down()
            raise SteppedDown("overtaken")
        wall, after = wall_clock(), None if self._sending is None else self._sent
        txn = f"{outbox_ids[0]}..{outbox_ids[-1]}" if outbox_ids else "sequencer"
        text = self._sequencer.build(carried, txn, wall, after=after)
        parsed = self._replica.check_next(text, wall, after=after)
        entry = await self._journal.append(parsed.n, text, outbox_ids)
        if entry.text == text:
            return entry, parsed, True
        _log.warning("the journal holds another record %d: appending that one", parsed.n)
        return entry, record.parse_unverified(entry.text), False

    async def append(self, entry: JournalEntry, parsed: Record) -> None:
        """Append a record that has been journaled.

        Raises:
            SteppedDown: somebody else appends.
        """
        async with self.turn:
            if not self._sequencer.active:
                raise SteppedDown("not_active")
            append = self._sequencer.append_record(parsed)
            committed = await self._appender.append(append)
        self.meter.count(entry.outbox_ids, parsed.events, wall_clock())
        self.committed(entry, parsed, committed.seq)

    async def step_down(self) -> None:
        """Stop appending, once it is known what became of the message in flight."""
        async with self.turn:
            self._sequencer.step_down()

    def committed(self, entry: JournalEntry, parsed: Record, seq: int) -> None:
        """The record of ``entry`` stands in the stream: tell those who wait, and settle it soon."""
        self._outbox.mark_committed(entry.outbox_ids)
        self.settling.add(entry, parsed, seq)


def _fills_a_page(entries: Sequence[RawEntry]) -> bool:
    """Whether more may wait: of long entries the next one may not have had room."""
    return len(entries) == PAGE or sum([entry.size for entry in entries]) > GROUP_LENGTH // 2


def _is_the_commands_fault(rejected: LedgerRejected | DocumentRejected) -> bool:
    """Only what no sequencer could ever append may be put aside; all else waits in the outbox."""
    return isinstance(rejected, DocumentRejected) or rejected.code in _COMMAND_CODES
