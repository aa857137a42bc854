"""Every check on the record that comes next, against what stands before it; it changes nothing."""

from collections.abc import Iterable, Sequence

from tocsin_revocation_bus.core.chain import Head, check_base, check_link
from tocsin_revocation_bus.core.state import State
from tocsin_revocation_bus.core.trust import Trust
from tocsin_schemas import jws, record
from tocsin_schemas.errors import DocumentRejected, JwsRejected, LedgerHalted, LedgerRejected
from tocsin_schemas.events import (
    MAX_CUTOFF_AHEAD_S,
    AllRevokedBefore,
    ClientRevokedBefore,
    Event,
    KeysetPublished,
    SessionsRevoked,
    SubjectRevokedBefore,
    TermOpened,
    Tick,
    TokensRevoked,
)
from tocsin_schemas.heartbeat import Heartbeat
from tocsin_schemas.record import Record
from tocsin_schemas.signed_document import SignedDocument
from tocsin_schemas.term import TermStatement

MAX_AHEAD_S = 300
# A record may hold thousands of these, and by themselves they cannot be wrong.
_MANY = frozenset({TokensRevoked, SessionsRevoked})


def is_plain(parsed: Record) -> bool:
    """Whether no check of the record after it depends on what it does: it revokes tokens and
    sessions, and nothing else.
    """
    return not parsed.unknown and _MANY.issuperset(map(type, parsed.events))


def opens_term(parsed: Record) -> bool:
    """Whether a record says that it opens a term, whoever may have signed that."""
    return any(isinstance(event, TermOpened) for event in parsed.events)


def check_next(
    parsed: Record,
    trust: Trust,
    state: State,
    head: Head | None,
    beats: Iterable[Heartbeat],
    wall: float,
) -> Trust:
    """Check that ``parsed`` may follow ``head``, and return the trust as it is with it. ``beats``
    are heartbeats that were heard; ``wall`` is in seconds of UTC.

    Raises:
        LedgerRejected: it is not for this ledger, or not now; ``record_gap`` where records are
            missing in between.
        LedgerHalted: the ledger key has signed against itself.
        DocumentRejected: a keyset or term that the roots did not sign.
    """
    few = [event for event in parsed.events if type(event) not in _MANY]
    after = _trust_after(parsed, trust, few)
    check_signature(parsed, after, trust, state)
    opened = _opened_term(trust, few)
    check_link(head, parsed, opened)
    if opened is not None:
        _check_base_state(opened, state)  # and no heartbeat speaks against what the roots have said
    elif any(_names_another(beat, parsed) for beat in beats):
        raise LedgerHalted("fork", "a heartbeat named another record at this place")
    if parsed.iat > wall + MAX_AHEAD_S:
        raise LedgerRejected("clock_ahead", "the record is ahead of this machine's clock")
    for event in few:
        _check_event(event, parsed, state)
    return after


def check_signature(parsed: Record, after: Trust, trust: Trust, state: State) -> None:
    """A ledger key of the keyset in force signed it, or one of the keyset that it brings, which
    ``after`` has taken.

    Raises:
        LedgerRejected: ``record_signature`` or ``issuer``.
    """
    keys = {
        kid: key
        for kid, key in {**after.ledger_keys, **trust.ledger_keys}.items()
        if kid not in state.revoked_keys
        and (_signs_at(after, kid, parsed.iat) or _signs_at(trust, kid, parsed.iat))
    }
    try:
        jws.verify_signature(
            parsed.text, keys, typ=record.RECORD_TYP, max_length=record.MAX_RECORD_LENGTH
        )
    except JwsRejected:
        raise LedgerRejected("record_signature", "no ledger key signed the record") from None
    if parsed.iss != trust.issuer:
        raise LedgerRejected("issuer", "the record is another issuer's")


def check_opening(
    statement: SignedDocument, trust: Trust, state: State, head: Head | None
) -> TermStatement:
    """Check that enough roots have opened a term on ``head``, and return what they say.

    Raises:
        DocumentRejected: as :meth:`Trust.check_term`.
        LedgerHalted: ``term_base`` or ``state_hash``.
    """
    opened = trust.check_term(statement)
    check_base(head, opened)
    _check_base_state(opened, state)
    return opened


def _trust_after(parsed: Record, trust: Trust, few: Sequence[Event]) -> Trust:
    for event in few:
        if isinstance(event, KeysetPublished):
            trust = trust.accept(event.keyset)
            if trust.keyset is not None and trust.keyset.expires_at <= parsed.iat:
                raise DocumentRejected("keyset_expired", "the keyset had run out already")
    if trust.keyset is None:
        raise DocumentRejected("record_gap")
    return trust


def _signs_at(trust: Trust, kid: str, at: int) -> bool:
    window = trust.windows.get(kid)
    return window is not None and window.sign_from <= at <= window.sign_until


def _opened_term(trust: Trust, few: Sequence[Event]) -> TermStatement | None:
    for event in few:
        if isinstance(event, TermOpened):
            return trust.check_term(event.statement)
    return None


def _names_another(beat: Heartbeat, parsed: Record) -> bool:
    return (beat.term, beat.head_n) == parsed.identity and beat.head_hash != parsed.hash


def _check_base_state(opened: TermStatement, state: State) -> None:
    if opened.state_hash != state.hash():
        raise LedgerHalted("state_hash", "our state is not the new term's base")


def _check_event(event: Event, parsed: Record, state: State) -> None:
    match event:
        case SubjectRevokedBefore() | ClientRevokedBefore() | AllRevokedBefore():
            if event.before > parsed.iat + MAX_CUTOFF_AHEAD_S:
                raise LedgerHalted("cutoff_ahead", "a cutoff is ahead of its record")
        case Tick():
            if event.state_hash != state.hash():
                raise LedgerHalted("state_hash", "our state is not the sequencer's")
        case _:
            pass
