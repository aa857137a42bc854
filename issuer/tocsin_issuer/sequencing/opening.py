"""A term that the roots have opened, on its way into the ledger."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from tocsin_issuer.core.sequencer import Sequencer
from tocsin_issuer.sequencing.appender import SteppedDown
from tocsin_issuer.store import event_text
from tocsin_issuer.store.journal import Journal, JournalEntry
from tocsin_revocation_bus.core.replica import Replica
from tocsin_schemas import record, term
from tocsin_schemas.errors import ConfigurationError, DocumentRejected, LedgerRejected
from tocsin_schemas.events import RevocationSettled, TermOpened, Tick
from tocsin_schemas.signed_document import SignedDocument

_OF_THE_OLD_TERM: Final = (Tick, TermOpened, RevocationSettled)
_log = logging.getLogger("tocsin.sequencer")


class Opening:
    """For a candidate. ``kept`` returns what an operator has left with the issuer, or None;
    ``wall_clock`` is in seconds of UTC.
    """

    def __init__(
        self,
        *,
        sequencer: Sequencer,
        replica: Replica,
        journal: Journal,
        kept: Callable[[], bytes | None],
        event_id: Callable[[], str],
        wall_clock: Callable[[], float],
    ) -> None:
        self._sequencer = sequencer
        self._replica = replica
        self._journal = journal
        self._kept = kept
        self._event_id = event_id
        self._wall_clock = wall_clock
        self._refused: bytes | None = None

    def waiting(self) -> SignedDocument | None:
        """The statement that opens a term on our head, good in every respect; or None.

        What lies there may be on a base that we have not reached yet, or left long ago. What is on
        our head and not good is said once.
        """
        head = self._replica.head
        try:
            text = self._kept()
        except ConfigurationError as error:
            self._refuse(b"", error.code)
            return None
        if text is None or text == self._refused or head is None:
            return None
        try:
            document = msgspec.json.decode(text, type=SignedDocument)
            claimed = term.parse_unverified(document)
            if (claimed.base_term, claimed.base_n) != (head.term, head.n):
                return None
            self._replica.check_opening(document)
        except (DocumentRejected, LedgerRejected) as rejected:
            self._refuse(text, rejected.code)
            return None
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._refuse(text, "document_malformed")
            return None
        return document

    def _refuse(self, text: bytes, code: str) -> None:
        if text != self._refused:
            _log.error("the term that is to be opened is refused: %s", code)
        self._refused = text

    async def journal(self, statement: SignedDocument) -> None:
        """Journal the record that opens the term, in place of what stood there of the old term. The
        revocations that this had brought wait in the outbox again.

        A record that can come next stays: it may be on its way already. It is one that opens the
        term, journaled before a crash or by another candidate, or then there is nothing to give up.

        Raises:
            SteppedDown: somebody else has journaled meanwhile.
            LedgerRejected, DocumentRejected: an agent would refuse the record; or ``clock_ahead``
                of what stands there, which may be good.
        """
        head, wall = self._replica.head, self._wall_clock()
        if head is None:
            raise SteppedDown("no_head")
        given_up = await self._journal.after(head.n)
        if given_up and self._follows(given_up[0], wall):
            return
        event = TermOpened(
            id=self._event_id(), reason="ceremony", initiator="admin", statement=statement
        )
        text = self._sequencer.build([event], "sequencer", wall, opens_term=True)
        self._replica.check_next(text, wall)
        if not await self._journal.reopen(head.n + 1, text, given_up, _again(given_up)):
            raise SteppedDown("overtaken")
        _log.warning("term %d opens after record %d.%d", head.term + 1, head.term, head.n)

    def _follows(self, entry: JournalEntry, wall: float) -> bool:
        try:
            self._replica.check_next(entry.text, wall)
        except (LedgerRejected, DocumentRejected) as rejected:
            if rejected.code == "clock_ahead":
                raise
            return False
        return True


def _again(given_up: Sequence[JournalEntry]) -> dict[int, str]:
    """What each record carried, as text of the outbox, by the record's number."""
    texts: dict[int, str] = {}
    for entry in given_up:
        try:
            carried = [
                event
                for event in record.parse_unverified(entry.text).events
                if not isinstance(event, _OF_THE_OLD_TERM)
            ]
        except LedgerRejected as rejected:
            _log.error("what record %d carried is lost: %s", entry.n, rejected.code)
            continue
        if carried:
            texts[entry.n] = event_text.encode(carried)
    return texts
