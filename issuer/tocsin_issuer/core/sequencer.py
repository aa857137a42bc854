"""What the sequencer decides: what to append, and what an answer, or none, means.

One message is in flight at a time, under the fence `Nats-Expected-Last-Sequence`. The machine never
takes an error for a failure nor an answer for a success: after any doubt it asks what stands at the
place it aimed for, and compares bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias, get_args

from tocsin_revocation_bus.core.chain import head_of
from tocsin_revocation_bus.core.replica import Outcome, Replica
from tocsin_schemas import heartbeat, record
from tocsin_schemas.errors import TocsinError
from tocsin_schemas.events import (
    KIND_OF,
    AllRevokedBefore,
    ClientRevokedBefore,
    Event,
    KeysetPublished,
    RawEvent,
    SubjectRevokedBefore,
    all_from_texts,
)
from tocsin_schemas.heartbeat import Heartbeat
from tocsin_schemas.jws import Signer
from tocsin_schemas.keyset import Policy
from tocsin_schemas.record import Record
from tocsin_schemas.subjects import HEARTBEAT, LEDGER_PREFIX

TICK_AFTER_S = 600
TAKEOVER_HEARTBEATS = 3
TAKEOVER_SPREAD_MS = 1000
_Cutoff: TypeAlias = SubjectRevokedBefore | ClientRevokedBefore | AllRevokedBefore
_CUTOFFS = frozenset(KIND_OF[kind] for kind in get_args(_Cutoff))


_KEYSET = KIND_OF[KeysetPublished]


class Role(Enum):
    """A candidate follows; the active one appends."""

    CANDIDATE = "candidate"
    ACTIVE = "active"


class NotActive(TocsinError):
    """Something was to be appended by a candidate, or while a message was in flight."""


@dataclass(frozen=True, slots=True)
class Append:
    """Publish these bytes at ``expected_seq`` + 1, and nowhere else. ``ttl_s`` is in seconds."""

    subject: str
    text: str
    message_id: str
    expected_seq: int
    ttl_s: int | None = None
    parsed: Record | None = None

    @property
    def is_record(self) -> bool:
        """Whether this is a member of the chain (a heartbeat is not)."""
        return self.parsed is not None


@dataclass(frozen=True, slots=True)
class ReadBack:
    """Ask what stands at ``seq``, and where the stream ends."""

    seq: int


@dataclass(frozen=True, slots=True)
class Committed:
    """The message in flight is in the stream."""

    append: Append
    seq: int


@dataclass(frozen=True, slots=True)
class StepDown:
    """Somebody else appends now, or the stream is not what it was."""

    reason: str


Decision: TypeAlias = Append | ReadBack | Committed | StepDown


def may_take_over(silence_s: float, policy: Policy, jitter: float) -> bool:
    """Whether the active sequencer has been silent for 3 H, and somewhat longer by ``jitter`` (0 to
    1): up to H, and a second at most, so that one of the candidates has taken over by 3 H + 2 s
    whatever H is.
    """
    spread_ms = min(policy.heartbeat_ms, TAKEOVER_SPREAD_MS)
    return silence_s * 1000 >= TAKEOVER_HEARTBEATS * policy.heartbeat_ms + jitter * spread_ms


class Sequencer:
    """Decisions for one candidate. ``replica`` is its own copy of the ledger."""

    def __init__(self, issuer: str, signer: Signer, replica: Replica, clock_id: str) -> None:
        self.role = Role.CANDIDATE
        self.last_heartbeat: str | None = None
        self.step_downs = 0
        self._issuer = issuer
        self._signer = signer
        self._replica = replica
        self._clock_id = clock_id
        self._last_seq = 0
        self._in_flight: Append | None = None
        self._led_to: tuple[int, int] = (0, 0)

    @property
    def active(self) -> bool:
        """Whether this candidate appends."""
        return self.role is Role.ACTIVE

    @property
    def idle(self) -> bool:
        """Whether something may be appended now."""
        return self.active and self._in_flight is None

    @property
    def overtaken(self) -> bool:
        """Whether somebody else has appended since we took over. What is built now could hold what
        the other one has committed already, and must not even be journaled.
        """
        head, ours, flying = self._replica.head, self._led_to, self._in_flight
        if flying is not None and flying.parsed is not None:
            ours = max(ours, flying.parsed.identity)  # we may hear of it before its PubAck
        return ((0, 0) if head is None else (head.term, head.n)) > ours

    def take_over(self, last_seq: int, checkpoint_n: int, *, opens_term: bool = False) -> bool:
        """Become active at the stream's end, which the replica has read up to.

        Returns False while the replica is behind a heartbeat, or halted: then there is nothing to
        continue, unless the next record opens a term on its head. The caller brings the stream up
        to the checkpoint from the journal before the first heartbeat.
        """
        head, replica = self._replica.head, self._replica
        head_n = 0 if head is None else head.n
        stuck = replica.halted is not None or (replica.behind and head_n >= checkpoint_n)
        if stuck and not opens_term:
            return False
        self.role = Role.ACTIVE
        self._led_to = (0, 0) if head is None else (head.term, head.n)
        self._last_seq = last_seq
        self._in_flight = None
        return True

    def step_down(self) -> None:
        """Stop appending."""
        self.step_downs += self.active
        self.role = Role.CANDIDATE
        self._in_flight = None
        self.last_heartbeat = None

    def build(
        self,
        carried: Sequence[Event | RawEvent],
        txn: str,
        wall: float,
        *,
        after: Record | None = None,
        opens_term: bool = False,
    ) -> str:
        """Sign the next record, to be journaled before it is appended; ``after`` is the one before
        it where that is still on its way.

        A record is never older than the one before it, nor than what its cutoffs were counted from.
        """
        head = self._replica.head if after is None else head_of(after)
        iat = max(int(wall), 0 if head is None else head.iat, _latest_cutoff(carried))
        return record.build(
            iss=self._issuer,
            iat=iat,
            txn=txn,
            term=1 if head is None else head.term + opens_term,
            n=1 if head is None else head.n + 1,
            prev=record.GENESIS_PREV if head is None else head.hash,
            carried=carried,
            signer=self._signer,
        )

    def append_record(self, found: str | Record) -> Append:
        """Append a record that has been journaled: a new one, or the text that was found there.

        Raises:
            NotActive: ``not_active``.
        """
        parsed = record.parse_unverified(found) if isinstance(found, str) else found
        kind = KIND_OF[type(parsed.events[0])] if parsed.events else "unknown"
        subject = LEDGER_PREFIX + kind
        return self._send(Append(subject, parsed.text, parsed.hash, self._last_seq, parsed=parsed))

    def append_heartbeat(self, issuer_time: int, wall: float) -> Append:
        """Say where the head is. ``issuer_time`` was read after the head was known.

        Raises:
            NotActive: ``not_active``, also where there is no head yet.
        """
        head, policy = self._replica.head, self._replica.trust.policy
        if head is None or policy is None:
            raise NotActive("not_active")
        beat = Heartbeat(
            iss=self._issuer,
            term=head.term,
            head_n=head.n,
            head_hash=head.hash,
            settled_n=0,
            clock_id=self._clock_id,
            issuer_time=issuer_time,
            utc=int(wall * 1000),
        )
        text = heartbeat.sign(beat, self._signer)
        ttl_s = -(-policy.lease_ms // 1000) + 1
        return self._send(Append(HEARTBEAT, text, record.hash_of(text), self._last_seq, ttl_s))

    def _send(self, append: Append) -> Append:
        if not self.idle:
            raise NotActive("not_active")
        self._in_flight = append
        return append

    # --- what an answer means -------------------------------------------------------------------

    def on_ack(self, seq: int, *, duplicate: bool) -> Decision:
        """A PubAck. As a duplicate it says only that some message had this id, somewhere."""
        append = self._flying()
        if duplicate or seq != append.expected_seq + 1:
            return ReadBack(append.expected_seq + 1)
        return self._committed(append, seq)

    def on_doubt(self) -> Decision:
        """A timeout, a lost connection or a fence error: we may have won all the same."""
        return ReadBack(self._flying().expected_seq + 1)

    def on_read(self, text: str | None, last_seq: int) -> Decision:
        """What stands at the place in question (None: nothing), and the stream's last sequence."""
        append = self._flying()
        if text == append.text:
            return self._committed(append, append.expected_seq + 1)
        if text is None and last_seq == append.expected_seq:
            return append  # it never arrived; if it still does, the fence lets one of them in
        self.step_down()
        return StepDown("fence_lost" if last_seq > append.expected_seq else "stream_went_back")

    def _flying(self) -> Append:
        if self._in_flight is None:
            raise NotActive("nothing_in_flight")
        return self._in_flight

    def _committed(self, append: Append, seq: int) -> Decision:
        self._last_seq = seq
        self._in_flight = None
        if not append.is_record:
            self.last_heartbeat = append.text
        return Committed(append, seq)

    def apply_committed(self, append: Append, now: int, wall: float) -> None:
        """Fold our own record into our own replica, through every check that agents make.

        Raises:
            NotActive: ``own_record_refused``: a record of ours that no agent would accept. It
                stands in the stream, so this candidate must not go on.
        """
        if append.parsed is not None:
            self._led_to = max(self._led_to, append.parsed.identity)
            outcome = self._replica.apply_record(append.text, now, wall)
            if outcome not in (Outcome.APPLIED, Outcome.OLD):
                self.step_down()
                raise NotActive("own_record_refused")

    def tick_due(self, wall: float) -> bool:
        """Whether the ledger has been idle for 10 minutes."""
        head = self._replica.head
        return head is not None and wall - head.iat >= TICK_AFTER_S


def _latest_cutoff(carried: Iterable[Event | RawEvent]) -> int:
    """The latest second that a cutoff was counted from, in seconds of UTC; 0 where there is none.

    Raises:
        LedgerRejected: ``event_malformed``: a cutoff that cannot be read.
    """
    latest = 0
    for event in carried:
        if isinstance(event, RawEvent):
            if event.kind in _CUTOFFS:
                latest = max(latest, _latest_cutoff(all_from_texts(event.kind, [event.members])))
        elif isinstance(event, _Cutoff):
            latest = max(latest, event.before - 1)
    return latest


def brings_keyset(carried: Iterable[Event | RawEvent]) -> bool:
    """Whether the events hold a keyset; such a record carries nothing else."""
    return any(
        event.kind == _KEYSET if isinstance(event, RawEvent) else isinstance(event, KeysetPublished)
        for event in carried
    )
