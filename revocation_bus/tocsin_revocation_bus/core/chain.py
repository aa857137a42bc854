"""The hash chain: which record may follow which."""

from collections import OrderedDict

from msgspec import Struct

from tocsin_schemas.errors import LedgerHalted, LedgerRejected
from tocsin_schemas.record import GENESIS_PREV, Record
from tocsin_schemas.term import TermStatement

REMEMBERED = 4096  # past hashes kept, to tell a fork from a replay


class Head(Struct, frozen=True, gc=False):
    """The newest record applied. ``iat`` is in seconds of UTC."""

    term: int
    n: int
    hash: str
    iat: int


def head_of(record: Record) -> Head:
    """The head that ``record`` makes."""
    return Head(record.term, record.n, record.hash, record.iat)


def check_link(head: Head | None, record: Record, opened: TermStatement | None = None) -> None:
    """Check that ``record``, whose signature is good, stands right after ``head``.

    ``opened`` is the root-signed statement of a record that opens a term.

    Raises:
        LedgerRejected: ``record_gap`` where records are missing in between.
        LedgerHalted: ``chain_broken`` for a wrong ``prev`` or term, or an ``iat`` that falls: the
            ledger key signed two histories.
    """
    if head is None:
        if record.n != 1:
            raise LedgerRejected("record_gap")
        if record.term != 1 or record.prev != GENESIS_PREV:
            raise LedgerHalted("chain_broken", "the first record is not the start of a chain")
        return
    if record.n > head.n + 1:
        raise LedgerRejected("record_gap")
    if opened is not None:
        check_base(head, opened)
    term = head.term if opened is None else opened.term
    if record.n != head.n + 1 or record.term != term or record.prev != head.hash:
        raise LedgerHalted("chain_broken", "a signed record does not follow the one before it")
    if record.iat < head.iat:
        raise LedgerHalted("chain_broken", "a signed record is older than the one before it")


def check_base(head: Head | None, opened: TermStatement) -> None:
    """Check that a term was opened on ``head``.

    Raises:
        LedgerHalted: ``term_base``.
    """
    base = (opened.base_term, opened.base_n, opened.base_hash)
    if head is None or base != (head.term, head.n, head.hash) or opened.term != head.term + 1:
        raise LedgerHalted("term_base", "a term was opened on a base that is not our head")


class PastHashes:
    """The hashes of the newest records, bounded."""

    def __init__(self) -> None:
        self._hashes: OrderedDict[tuple[int, int], str] = OrderedDict()

    def remember(self, identity: tuple[int, int], digest: str) -> None:
        """Keep one; the oldest goes when there are too many."""
        self._hashes[identity] = digest
        if len(self._hashes) > REMEMBERED:
            self._hashes.popitem(last=False)

    def confirms(self, identity: tuple[int, int], digest: str) -> bool:
        """Whether exactly this record is known under this identity."""
        return self._hashes.get(identity) == digest

    def contradicts(self, identity: tuple[int, int], digest: str) -> bool:
        """Whether another record is known under this identity."""
        return self._hashes.get(identity, digest) != digest
