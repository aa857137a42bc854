"""One sequencer candidate: the shell around ``Sequencer`` that the issuer will have, in small.

Follow the stream; after 3 H of silence take over at its end; bring the stream up to the journal;
then commit what waits in groups, and a heartbeat every H.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from tests.simulator import ring
from tests.simulator.clock import MILLISECOND, SECOND
from tests.simulator.process import Answer, Body, Fetch, Process, Publish, Read, Request, Sleep
from tests.simulator.store import Ack, Batch, Found, Message
from tocsin_issuer.core import sequencer as sequencers
from tocsin_issuer.core.sequencer import (
    Append,
    Committed,
    Decision,
    NotActive,
    ReadBack,
    Role,
    StepDown,
)
from tocsin_revocation_bus.core import replica as replicas
from tocsin_revocation_bus.core.record_checks import is_plain
from tocsin_revocation_bus.core.replica import Outcome
from tocsin_schemas import clock_reply, record
from tocsin_schemas.clock_reply import ClockReply
from tocsin_schemas.errors import DocumentRejected, LedgerRejected
from tocsin_schemas.events import Event, KeysetPublished, Tick
from tocsin_schemas.record import Record

if TYPE_CHECKING:
    from tests.simulator.world import World

Steps = Generator[Request, Answer, None]


class SequencerNode:
    """Everything that a crash loses; ``clock`` and ``wall`` are the machine's."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.clock = world.new_lease_clock()
        self.wall = world.new_wall_clock(180)
        self.start()

    def start(self) -> None:
        """A new process: nothing is known, and its clock has a new name."""
        world = self.world
        self.clock_id = f"{self.name}-clock-{world.rng.getrandbits(64):016x}"
        self.replica = replicas.Replica(ring.ISSUER, ring.PINNED)
        self.core = self._new_core()
        self.beat: str | None = None
        self._seen_ids: dict[str, int] = {}
        self._position = 0
        self._stream_n = 0
        self._last_heard = self.clock.read(world.now) if world.now else 0
        self._last_beat = -SECOND
        self._brought_up = False
        self.process = Process(world, self.name, self._body())
        world.check.replica_started(self.name)

    def _new_core(self) -> sequencers.Sequencer:
        usable = [k for k in ring.LEDGER_KEYS if k.kid not in self.replica.state.revoked_keys]
        self.signer = usable[0] if usable else ring.LEDGER_KEYS[0]
        return sequencers.Sequencer(ring.ISSUER, self.signer, self.replica, self.clock_id)

    @property
    def now(self) -> int:
        """The lease clock, read now."""
        return self.clock.read(self.world.now)

    @property
    def utc(self) -> float:
        """The wall clock, read now."""
        return self.wall.read(self.world.now)

    # --- the process ----------------------------------------------------------------------------

    def _body(self) -> Body:
        while True:
            if self.core.role is Role.CANDIDATE:
                yield from self._follow()
            else:
                yield from self._lead()

    def _follow(self) -> Steps:
        world = self.world
        if world.now:
            yield Sleep(int(world.profile.heartbeat * world.rng.uniform(0.4, 1.0)))
        answer = yield Fetch(self._position)
        if isinstance(answer, Batch):
            self._take(answer.messages)
            self._position = max(self._position, answer.last_seq)
        policy = self.replica.trust.policy or world.profile.policy
        silence = (self.now - self._last_heard) / SECOND
        if sequencers.may_take_over(silence, policy, world.rng.random()):
            yield from self._take_over()

    def _take(self, messages: Sequence[Message]) -> None:
        for message in messages:
            if message.is_record:
                self._apply(message.text)
            elif message.text != self.beat:
                outcome = self.replica.apply_heartbeat(message.text, self.now, self.utc)
                if outcome in (Outcome.APPLIED, Outcome.BEHIND):
                    self.beat, self._last_heard = message.text, self.now

    def _apply(self, text: str) -> Outcome:
        outcome = self.replica.apply_record(text, self.now, self.utc)
        if outcome is Outcome.APPLIED:
            self._after_record(text)
        return outcome

    def _after_record(self, text: str) -> None:
        """Remember the commands, and change keys if the one in use has been revoked."""
        parsed = record.parse_unverified(text)
        self._seen_ids.update((event.id, parsed.n) for event in parsed.events)
        if self.signer.kid in self.replica.state.revoked_keys:
            self.core.step_down()
            self.core = self._new_core()
        self.world.check.replica_moved(self.name, self.replica, self.clock)

    def _take_over(self) -> Steps:
        """Read the whole stream again: it may have gone back behind what the replica knows."""
        answer = yield Fetch(0)
        if not isinstance(answer, Batch):
            return
        self._take(answer.messages)
        records = [message.text for message in answer.messages if message.is_record]
        stream_n = record.parse_unverified(records[-1]).n if records else 0
        head_n = 0 if self.replica.head is None else self.replica.head.n
        if stream_n > head_n:
            return  # a record that this machine's clock does not let in
        self._stream_n = stream_n
        self._position = answer.last_seq
        yield Sleep(0)
        if self.core.take_over(answer.last_seq, self.world.durable.checkpoint):
            self._brought_up = False
            done = [name for name, n in self._seen_ids.items() if n <= stream_n]
            self.world.acknowledge(done, stream_n)

    def _lead(self) -> Steps:
        """Heartbeats keep their own time, but after a takeover the journal comes first."""
        durable, world = self.world.durable, self.world
        due = self._last_beat + world.profile.heartbeat - self.now
        if due <= 0 and self.may_beat() and self._level():
            yield from self._beat()
            return
        text = self.journaled()
        if text is None:
            self._brought_up = True
            carried = self._group()
            if carried:
                text = self._build(carried)
                if text is None:
                    yield Sleep(MILLISECOND)
                    return
                yield Sleep(int(world.rng.random() * MILLISECOND))
                text = durable.journal_put(self._stream_n + 1, text)
                yield Sleep(0)
                yield from self._journal_another(text)
        if text is not None:
            yield from self._drive(self.core.append_record(text))
            return
        yield Sleep(max(MILLISECOND, min(due, world.profile.heartbeat // 3)))

    def may_beat(self) -> bool:
        """Whether the stream has reached the journal since the takeover."""
        return self._brought_up

    def _beat(self) -> Steps:
        """The clock is read after the head is known; the thread may be put aside right after."""
        world = self.world
        self._last_beat = issuer_time = self.now
        read_at = world.now
        append = self.core.append_heartbeat(issuer_time, self.utc)
        world.check.heartbeat_built(append.text, read_at)
        yield Sleep(0)
        yield from self._drive(append)

    def _journal_another(self, text: str) -> Steps:
        """Before a record is published the next one may be built upon it and journaled."""
        after = record.parse_unverified(text)
        known = {event.id for event in after.events}
        carried = [event for event in self._group() if event.id not in known]
        if carried and is_plain(after):
            another = self._build(carried, after)
            if another is not None:
                yield Sleep(int(self.world.rng.random() * MILLISECOND))
                self.world.durable.journal_put(after.n + 1, another)
                yield Sleep(0)

    def _build(self, carried: list[Event], after: Record | None = None) -> str | None:
        """The next record, checked as an agent would before it is journaled; None if refused.

        An old keyset, that two operators published at once, is answered with an error.
        """
        txn = f"txn-{self.world.rng.getrandbits(32)}"
        text = self.core.build(carried, txn, self.utc, after=after)
        try:
            self.replica.check_next(text, self.utc, after=after)
        except DocumentRejected as refused:
            self.world.note(f"refused: {refused.code}")
            self.world.durable.refuse([event.id for event in carried])
            return None
        except LedgerRejected as refused:
            self.world.note(f"not now: {refused.code}")  # this machine's wall clock is behind
            return None
        return text

    def journaled(self) -> str | None:
        """The record that must come next, whoever built it."""
        return self.world.durable.journal.get(self._stream_n + 1)

    def _level(self) -> bool:
        return self.replica.head is not None and self.replica.head.n == self._stream_n

    def _group(self) -> list[Event]:
        """What waits, or the start of it, as one record; a keyset goes alone."""
        fresh = [e for e in self.world.durable.pending() if e.id not in self._seen_ids]
        if fresh and isinstance(fresh[0], KeysetPublished):
            return fresh[:1]
        group: list[Event] = [event for event in fresh if not isinstance(event, KeysetPublished)]
        if not group and self.core.tick_due(self.utc):
            name = f"tick-{self.world.rng.getrandbits(48):012x}"
            state_hash = self.replica.state.hash()
            return [Tick(id=name, reason="idle", initiator="system", state_hash=state_hash)]
        return group[: self.world.rng.randint(1, len(group))] if group else []

    def _drive(self, append: Append) -> Steps:
        """See one message through, whatever happens to it on the way."""
        core = self.core
        decision: Decision = append
        while True:
            answer: Answer
            match decision:
                case Append():
                    answer = yield Publish(decision)
                    if isinstance(answer, Ack):
                        decision = core.on_ack(answer.seq, duplicate=answer.duplicate)
                    else:
                        decision = core.on_doubt()
                case ReadBack(seq):
                    answer = yield Read(seq)
                    if isinstance(answer, Found):
                        decision = core.on_read(answer.text, answer.last_seq)
                case Committed(done, seq):
                    yield from self._committed(done, seq)
                    return
                case StepDown():
                    self._last_heard = self.now
                    return

    def _committed(self, append: Append, seq: int) -> Steps:
        core = self.core
        self._position = seq
        if not append.is_record:
            self.beat = core.last_heartbeat
            self.replica.apply_heartbeat(append.text, self.now, self.utc)
            return
        try:
            core.apply_committed(append, self.now, self.utc)
        except NotActive:
            return  # this machine's wall clock refuses it; the others have it
        self._stream_n += 1
        self._after_record(append.text)
        yield Sleep(0)
        ids = [event.id for event in record.parse_unverified(append.text).events]
        self.world.acknowledge(ids, self._stream_n)

    # --- clock sync -----------------------------------------------------------------------------

    def answer_clock(self, nonce: str) -> str | None:
        """The signed answer, from the running process."""
        if not self.process.alive:
            return None
        reply = ClockReply(
            iss=ring.ISSUER,
            nonce=nonce,
            clock_id=self.clock_id,
            issuer_time0=self.now,
            utc=int(self.utc * 1000),
            heartbeat=self.beat,
        )
        return clock_reply.sign(reply, self.signer)

    # --- what happens to it ---------------------------------------------------------------------

    def restart(self) -> None:
        """The process died and is started again, half the time on another machine."""
        if self.world.rng.random() < 0.5:
            self.clock = self.world.new_lease_clock()
        self.start()
