"""One replica of the ledger: trust, chain, state and lease, moved by bytes that anybody may send.

The same machine serves agents, the issuer, the audit and the simulator. Every input is checked
whole before anything changes. Bytes that are no valid record are noise, counted and passed over;
signed evidence against the ledger itself halts the replica, which then proves nothing any more,
until the roots open a term on its head: they have looked at the evidence, and say what counts.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from tocsin_revocation_bus.core import record_checks
from tocsin_revocation_bus.core.chain import Head, PastHashes, check_link, head_of
from tocsin_revocation_bus.core.lease import ClockSync, Lease
from tocsin_revocation_bus.core.record_checks import MAX_AHEAD_S, is_plain, opens_term
from tocsin_revocation_bus.core.state import State
from tocsin_revocation_bus.core.trust import PinnedRoots, Trust
from tocsin_schemas import clock_reply, heartbeat, record
from tocsin_schemas.errors import DocumentRejected, LedgerHalted, LedgerRejected
from tocsin_schemas.heartbeat import Heartbeat
from tocsin_schemas.jwk import PublicKey
from tocsin_schemas.keyset import KeysetKey
from tocsin_schemas.record import Record
from tocsin_schemas.signed_document import SignedDocument
from tocsin_schemas.term import TermStatement

_MAX_NONCES = 8
_MS = 1_000_000
_CHECKED = 3  # records that a sequencer has read: its last, the one on its way, the next one


class Outcome(Enum):
    """What became of an input."""

    APPLIED = "applied"
    OLD = "old"
    BEHIND = "behind"
    NOISE = "noise"
    HALTED = "halted"


class AgentState(Enum):
    """What an agent can say of itself."""

    STARTING = "starting"
    SYNCING = "syncing"
    LIVE = "live"
    STALE = "stale"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Status:
    """A state and its one reason, a stable code (empty while live)."""

    state: AgentState
    reason: str


_LIVE = Status(AgentState.LIVE, "")  # told for every message


class Replica:
    """See the module. ``now`` is nanoseconds of the lease clock, ``wall`` seconds of UTC."""

    def __init__(
        self, issuer: str, pinned: PinnedRoots, *, max_lease_ms: int | None = None
    ) -> None:
        self.trust = Trust(issuer, pinned)
        self.state = State()
        self.lease = Lease()
        self.head: Head | None = None
        self.halted: LedgerHalted | None = None
        self.evidence: tuple[str, str] | None = None
        self.settled_n = 0
        self.noise: Counter[str] = Counter()
        self.unknown_events: Counter[str] = Counter()
        self._max_lease_ms = max_lease_ms
        self._lease_ns = 0
        self._expires_at = 0.0  # of the keyset, by the wall clock; 0 once the ledger's time says so
        self._past = PastHashes()
        self._checked: deque[Record] = deque(maxlen=_CHECKED)
        self._nonces: dict[str, int] = {}
        self._heartbeats: dict[str, Heartbeat] = {}
        self._told = (0, 0)
        self._blocked: str | None = None
        self._was_live = False

    # --- inputs ---------------------------------------------------------------------------------

    def apply_record(self, text: str, now: int, wall: float) -> Outcome:
        """Apply the next record, or say why not."""
        try:
            parsed = self._read(text)
            past = self._is_past(parsed)
            if self.halted is not None and (past or not opens_term(parsed)):
                return Outcome.HALTED
            if past:
                return self._old(parsed)
            trust = self._check_next(parsed, wall, self.head)
        except (DocumentRejected, LedgerRejected) as rejected:
            if self.halted is not None:
                return Outcome.HALTED
            return self._not_applied(rejected, text, blocks=True)
        self._commit(parsed, trust)
        self._renew(now)
        return Outcome.APPLIED

    def apply_heartbeat(self, text: str, now: int, wall: float) -> Outcome:
        """Take note of where the head is; renew the lease if it is where we are."""
        if self.halted is not None:
            return Outcome.HALTED
        try:
            beat = heartbeat.verify(text, self._usable_ledger_keys(wall))
            if beat.iss != self.trust.issuer:
                raise LedgerRejected("issuer")
            if beat.utc > (wall + MAX_AHEAD_S) * 1000:
                raise LedgerRejected("clock_ahead")
            if self._contradicts(beat):
                raise LedgerHalted("fork", "a heartbeat names another record at a known place")
        except LedgerRejected as rejected:
            return self._not_applied(rejected, text)
        self._note(beat)
        self._renew(now)
        self.state.seal_some()  # a little with each beat, since the next tick asks for all of it
        return Outcome.BEHIND if self.behind else Outcome.APPLIED

    def sync_sent(self, nonce: str, now: int) -> None:
        """Remember that a clock request went out at ``now``, read before it was sent.

        A request that goes out twice counts from the first time: the answer may be to that one.
        """
        self._nonces.setdefault(nonce, now)
        if len(self._nonces) > _MAX_NONCES:
            del self._nonces[next(iter(self._nonces))]

    def apply_clock_reply(self, text: str, now: int, wall: float) -> Outcome:
        """Take a candidate's answer to one of our requests, and the heartbeat inside it."""
        if self.halted is not None:
            return Outcome.HALTED
        try:
            reply = clock_reply.verify(text, self._usable_ledger_keys(wall))
            if reply.iss != self.trust.issuer or reply.nonce not in self._nonces:
                raise LedgerRejected("clock_unasked")
        except LedgerRejected as rejected:
            return self._not_applied(rejected, text)
        self.lease.synced(reply.clock_id, ClockSync(self._nonces[reply.nonce], reply.issuer_time0))
        if reply.heartbeat is not None:
            self.apply_heartbeat(reply.heartbeat, now, wall)
        self._renew(now)
        return Outcome.APPLIED if self.halted is None else Outcome.HALTED

    # --- what follows from them -----------------------------------------------------------------

    @property
    def behind(self) -> bool:
        """Whether a signed heartbeat names a head that we have not reached."""
        return self._told > ((0, 0) if self.head is None else (self.head.term, self.head.n))

    def has_applied(self, parsed: Record) -> bool:
        """Whether this very record is one of the newest that were applied."""
        return self._past.confirms(parsed.identity, parsed.hash)

    def has_forgotten(self, parsed: Record) -> bool:
        """Whether it stands where records were applied that are remembered no more: it may be one
        of them.
        """
        known = self.has_applied(parsed) or self._past.contradicts(parsed.identity, parsed.hash)
        return self.head is not None and parsed.n <= self.head.n and not known

    def newest_beat(self) -> Heartbeat | None:
        """The heartbeat that was heard last, whatever its signer's clocks say."""
        return self._heartbeats[next(reversed(self._heartbeats))] if self._heartbeats else None

    def needs_sync(self) -> bool:
        """Whether the newest heartbeat runs on a clock that we have no sync with."""
        return not self._heartbeats or not self.lease.knows(next(reversed(self._heartbeats)))

    def lease_ns(self) -> int:
        """L, in nanoseconds: the policy's, unless the agent's own file lowers it."""
        policy = self.trust.policy
        if policy is None:
            return 0
        ours = policy.lease_ms if self._max_lease_ms is None else self._max_lease_ms
        return min(policy.lease_ms, ours) * _MS

    def valid_until(self, max_staleness_ns: int | None = None) -> int | None:
        """Until when this replica may be believed, on the lease clock; None without a lease."""
        proven = self.lease.proven_at
        if proven is None or self.halted is not None or not self.trust.anchored:
            return None
        lease = self.lease_ns()
        return proven + (lease if max_staleness_ns is None else min(lease, max_staleness_ns))

    def vouched_until(self, max_staleness_ns: int | None, wall: float) -> int | None:
        """As :meth:`valid_until`, and None once the keyset has run out. Asked for every token."""
        proven = self.lease.proven_at
        if proven is None or self.halted is not None:
            return None
        if wall >= self._expires_at:
            return None
        lease = self._lease_ns
        if max_staleness_ns is not None and max_staleness_ns < lease:
            lease = max_staleness_ns
        return proven + lease

    def keyset_expired(self, wall: float) -> bool:
        """Whether the keyset has run out, by the wall clock or by the ledger's own time."""
        keyset = self.trust.keyset
        return keyset is not None and max(wall, self.state.horizon) >= keyset.expires_at

    def status(self, now: int, wall: float) -> Status:
        """The one state and the one reason."""
        if self.halted is not None:
            return Status(AgentState.REFUSED, self.halted.code)
        if self.head is not None and not self.trust.anchored:
            return Status(AgentState.REFUSED, "root_mismatch")
        if self.keyset_expired(wall):
            return Status(AgentState.REFUSED, "keyset_expired")
        until = self.valid_until()
        if until is not None and now <= until:
            return _LIVE
        if self._blocked == "clock_ahead":
            return Status(AgentState.STALE, "clock_ahead")
        if self._blocked is not None and (self.head is None or self.behind):
            return Status(AgentState.REFUSED, self._blocked)
        if self.head is None:
            return Status(AgentState.STARTING, "no_ledger")
        if self.lease.rho_broken and self.lease.proven_at is None:
            return Status(AgentState.STALE, "rho_broken")
        if self._was_live:
            return Status(AgentState.STALE, "behind" if self.behind else "lease_lapsed")
        return Status(AgentState.SYNCING, self._missing())

    def _missing(self) -> str:
        if self.behind:
            return "behind"
        if not self._heartbeats:
            return "no_heartbeat"
        return "no_clock_sync"

    # --- the checks -----------------------------------------------------------------------------

    def _is_past(self, parsed: Record) -> bool:
        return self.head is not None and (
            parsed.term < self.head.term
            or (parsed.term == self.head.term and parsed.n <= self.head.n)
        )

    def _old(self, parsed: Record) -> Outcome:
        """A replay, unless a known identity comes with another text that the ledger key signed. In
        a term that is over this says nothing: the roots have named the record that it ends with.
        """
        if self._of_this_term(parsed.term) and self._past.contradicts(parsed.identity, parsed.hash):
            record_checks.check_signature(parsed, self.trust, self.trust, self.state)
            raise LedgerHalted("fork", "two signed records have one identity")
        return Outcome.OLD

    def check_next(self, text: str, wall: float, *, after: Record | None = None) -> Record:
        """Make every check on a record that would come next, and change nothing; return it read.

        The sequencer asks this of what it is about to append, since what is appended stays.
        ``after`` is a plain record (:func:`is_plain`) that was checked like this and is to be
        applied before; it may have been by now.

        Raises:
            LedgerRejected: as :meth:`apply_record` would find.
            DocumentRejected: for a keyset or term that the roots did not sign.
            ValueError: ``after`` is not plain.
        """
        parsed = record.parse_unverified(text)
        if self.halted is not None and not opens_term(parsed):
            raise self.halted
        head = self.head
        if after is not None and not self.has_applied(after):
            if not is_plain(after):
                raise ValueError("what comes after that record depends on it")
            check_link(head, after)
            head = head_of(after)
        self._checked.append(parsed)
        self._check_next(parsed, wall, head)
        return parsed

    def check_opening(self, statement: SignedDocument) -> TermStatement:
        """Check that enough roots have opened a term on our head, and return what they say.

        Raises:
            DocumentRejected: as :meth:`Trust.check_term`.
            LedgerRejected: ``term_base`` or ``state_hash``.
        """
        return record_checks.check_opening(statement, self.trust, self.state, self.head)

    def _read(self, text: str) -> Record:
        """A sequencer gets back what it has checked, once from the stream and once by itself,
        perhaps when it has checked the next one: it is the same text, so it need not be parsed
        again. Every check is made again.
        """
        for known in self._checked:
            if known.text == text:
                return known
        return record.parse_unverified(text)

    def _check_next(self, parsed: Record, wall: float, head: Head | None) -> Trust:
        beats = self._heartbeats.values()
        return record_checks.check_next(parsed, self.trust, self.state, head, beats, wall)

    def _usable_ledger_keys(self, wall: float) -> dict[str, PublicKey]:
        """The keys that may sign now, give or take the slack between clocks: heartbeats and clock
        replies are of this moment, so a key whose time for signing is over must not renew a lease.
        """
        at = max(wall, self.state.horizon)
        keys: Mapping[str, PublicKey] = self.trust.ledger_keys if self.trust.anchored else {}
        return {
            kid: key
            for kid, key in keys.items()
            if kid not in self.state.revoked_keys and _signs_now(self.trust.windows[kid], at)
        }

    def _contradicts(self, beat: Heartbeat) -> bool:
        return self._of_this_term(beat.term) and self._past.contradicts(
            (beat.term, beat.head_n), beat.head_hash
        )

    def _of_this_term(self, term: int) -> bool:
        return self.head is None or term >= self.head.term

    # --- the changes ----------------------------------------------------------------------------

    def _commit(self, parsed: Record, trust: Trust) -> None:
        self.trust = trust
        self._lease_ns = self.lease_ns()
        believed = trust.keyset if trust.anchored else None
        self._expires_at = 0.0 if believed is None else float(believed.expires_at)
        self.state.fold(parsed)
        if self.state.horizon >= self._expires_at:
            self._expires_at = 0.0
        self.head = head_of(parsed)
        self._past.remember(parsed.identity, parsed.hash)
        if parsed.unknown:
            self.unknown_events.update(parsed.unknown)
        self._blocked = None
        if self.halted is not None:  # the evidence stays to be looked at
            self.noise[self.halted.code] += 1
            self.halted = None

    def _note(self, beat: Heartbeat) -> None:
        self._told = max(self._told, (beat.term, beat.head_n))
        self.settled_n = max(self.settled_n, beat.settled_n)
        known = self._heartbeats.pop(beat.clock_id, None)
        if known is not None and known.issuer_time > beat.issuer_time:
            beat = known
        self._heartbeats[beat.clock_id] = beat
        if len(self._heartbeats) > Lease.MAX_CLOCKS:
            del self._heartbeats[next(iter(self._heartbeats))]
        if self._blocked == "clock_ahead":
            self._blocked = None

    def _renew(self, now: int) -> None:
        """Only a heartbeat that names our own head proves that we are up to date."""
        policy, head = self.trust.policy, self.head
        if policy is None or head is None:
            return
        for beat in tuple(self._heartbeats.values()):
            if (beat.term, beat.head_n, beat.head_hash) == (head.term, head.n, head.hash):
                renewed = self.lease.renew(beat.clock_id, beat.issuer_time, now, policy.rho_ppm)
                self._was_live = self._was_live or renewed

    def _not_applied(
        self, rejected: DocumentRejected | LedgerRejected, text: str, *, blocks: bool = False
    ) -> Outcome:
        if isinstance(rejected, LedgerHalted):
            self.halted = rejected
            self.evidence = ("" if self.head is None else self.head.hash, text)
            self.lease.drop()
            return Outcome.HALTED
        if rejected.code == "record_gap":
            return Outcome.BEHIND
        self.noise[rejected.code] += 1
        if blocks or rejected.code == "clock_ahead":
            self._blocked = rejected.code  # the reason to give, should the chain not go on
        return Outcome.NOISE


def _signs_now(window: KeysetKey, at: float) -> bool:
    until = min(window.sign_until + MAX_AHEAD_S, window.verify_until)
    return window.sign_from - MAX_AHEAD_S <= at <= until
