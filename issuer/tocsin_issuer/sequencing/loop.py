"""The loop of one sequencer candidate: follow, take over, append, beat, step down."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from contextlib import suppress

from nats.aio.client import Client
from redis.exceptions import RedisError

from tocsin_issuer.core.sequencer import Sequencer, may_take_over
from tocsin_issuer.sequencing.appender import Appender, SteppedDown
from tocsin_issuer.sequencing.commit_meter import CommitMeter
from tocsin_issuer.sequencing.committing import Committing
from tocsin_issuer.sequencing.opening import Opening
from tocsin_issuer.sequencing.restoring import Restoring
from tocsin_issuer.sequencing.silence import Silence
from tocsin_issuer.sequencing.unread import holds_unread
from tocsin_issuer.store.journal import Journal
from tocsin_issuer.store.outbox import Outbox
from tocsin_revocation_bus.clocks import lease_clock, wall_clock
from tocsin_revocation_bus.core.replica import Replica
from tocsin_revocation_bus.jetstream.direct_get import ReadFailed, read_all
from tocsin_revocation_bus.jetstream.follower import Follower
from tocsin_revocation_bus.jetstream.streams import declare_ledger, last_sequence
from tocsin_revocation_bus.tasks import end
from tocsin_schemas import record
from tocsin_schemas.errors import ConfigurationError, DocumentRejected, LedgerRejected
from tocsin_schemas.events import Event, Tick
from tocsin_schemas.keyset import Policy

_IDLE_POLL_S = 0.1  # for entries that another process has put into the outbox
_RETRY_S = 0.25
_JOURNAL_PAGE = 64  # records
_TAIL = 512  # messages looked at first, most of them heartbeats
_log = logging.getLogger("tocsin.sequencer")


class SequencerLoop:
    """Runs until stopped. ``genesis`` is what an empty ledger begins with."""

    def __init__(
        self,
        *,
        sequencer: Sequencer,
        replica: Replica,
        follower: Follower,
        client: Client,
        outbox: Outbox,
        journal: Journal,
        restoring: Restoring,
        opening: Opening,
        policy: Policy,
        genesis: Sequence[Event],
        event_id: Callable[[], str],
    ) -> None:
        self._sequencer = sequencer
        self._replica = replica
        self._follower = follower
        self._client = client
        self._outbox = outbox
        self._journal = journal
        self._appender = Appender(sequencer, client)
        self._committing = Committing(
            sequencer=sequencer,
            replica=replica,
            appender=self._appender,
            outbox=outbox,
            journal=journal,
        )
        self._restoring = restoring
        self._opening = opening
        self._genesis_policy = policy
        self._genesis = genesis
        self._event_id = event_id
        self._silence = Silence(replica)
        self._beat_now = asyncio.Event()
        self._may_beat = False
        self._beaten_at = 0
        self._said = ""
        self._jitter = random.random()  # noqa: S311 (spreads candidates, protects nothing)

    @property
    def active(self) -> bool:
        """Whether this candidate appends."""
        return self._sequencer.active

    @property
    def step_downs(self) -> int:
        """How often this candidate has stopped appending."""
        return self._sequencer.step_downs

    @property
    def committed(self) -> CommitMeter:
        """What this candidate has appended."""
        return self._committing.meter

    def heartbeat_age_s(self) -> float | None:
        """Seconds since the last heartbeat of this candidate's was in the stream, or since it took
        over; None while it is not active.
        """
        return (lease_clock() - self._beaten_at) / 1e9 if self.active else None

    async def run(self) -> None:
        """Follow, take over when the active one is silent, append until somebody else does.

        What ends either half ends it: whoever appended and never beat would let all leases lapse.
        """
        halves = [asyncio.create_task(self._beat_on()), asyncio.create_task(self._take_turns())]
        try:
            done, _ = await asyncio.wait(halves, return_when=asyncio.FIRST_COMPLETED)
            for half in done:
                half.result()
        finally:
            await end(*halves)

    async def _take_turns(self) -> None:
        while True:
            await self._one_turn()

    async def _one_turn(self) -> None:
        try:
            if self.active or await self._try_to_take_over():
                await self._work()
                return
        except SteppedDown as reason:
            self._say(logging.WARNING, f"stepped down: {reason.code}")
        except (LedgerRejected, DocumentRejected) as rejected:
            # Not a command's fault: our clock, our keys, or a halted replica. Nothing is dropped.
            await self._committing.step_down()
            self._say(logging.ERROR, f"cannot append: {rejected.code}")
        except (RedisError, OSError, ReadFailed, ConfigurationError) as error:
            self._say(logging.WARNING, f"waiting: {getattr(error, 'code', type(error).__name__)}")
        await asyncio.sleep(_RETRY_S)

    def _say(self, level: int, what: str) -> None:
        """Once, for as long as there is nothing else to say: turns come several times a second."""
        if what != self._said:
            _log.log(level, "%s", what)
        self._said = what

    # --- taking over ----------------------------------------------------------------------------

    async def _try_to_take_over(self) -> bool:
        if not self._client.is_connected:
            return False
        await declare_ledger(self._client)
        last_seq = await last_sequence(self._client)
        await self._follower.read_now()
        if await holds_unread(self._client, self._follower.next_seq, last_seq):
            return False
        opened = self._opening.waiting()
        if opened is None and not self._silent():
            return False
        checkpoint = await self._journal.checkpoint()
        checkpoint_n = 0 if checkpoint is None else checkpoint.n
        async with self._committing.turn:
            self._may_beat = False  # no heartbeat before the stream has reached the journal
            self._beaten_at = lease_clock()
            opens_term = opened is not None
            if not self._sequencer.take_over(last_seq, checkpoint_n, opens_term=opens_term):
                return False
        try:
            await self._restore()
            if opened is not None:
                await self._opening.journal(opened)
            await self._finish_what_was_begun(last_seq, checkpoint_n)
            if self._replica.head is None:
                await self._committing.commit((), self._genesis)
        except BaseException:
            await self._committing.step_down()  # a takeover is whole or none
            raise
        _log.info("took over at sequence %d", last_seq)
        self._may_beat = True
        self._beat_now.set()
        return True

    async def _restore(self) -> None:
        """A Redis that went back knows less than the ledger; its outbox may hold what is in it."""
        head = self._replica.head
        if head is not None:
            await self._restoring.bring_up(head.n)

    def _silent(self) -> bool:
        silence_s = self._silence.seconds()
        if silence_s is None:
            return True
        policy = self._replica.trust.policy or self._genesis_policy
        return may_take_over(silence_s, policy, self._jitter)

    async def _finish_what_was_begun(self, last_seq: int, checkpoint_n: int) -> None:
        """A record that was journaled may have been promised: it is appended, the same bytes.

        From the *stream's* last record on, not from our own head: a NATS that went back has lost
        records that we still know. What is in the stream already and was never settled, is settled.

        Raises:
            LedgerRejected: ``journal_too_short``: NATS has lost more than the journal still keeps.
        """
        last_n = await self._last_n(last_seq)
        n = min(checkpoint_n, last_n)
        while entries := await self._journal.after(n, _JOURNAL_PAGE):
            for entry in entries:
                if entry.n > max(n, last_n) + 1:
                    raise LedgerRejected("journal_too_short")
                n, parsed = entry.n, record.parse_unverified(entry.text)
                if n > last_n:
                    await self._committing.append(entry, parsed)
                elif self._replica.has_applied(parsed):
                    self._committing.committed(entry, parsed, last_seq)
        await self._committing.settling.finish()

    async def _last_n(self, last_seq: int) -> int:
        """The number of the last record in the stream, looked for from its end.

        Only what our replica has applied counts: others can write bytes that look like a record. A
        replica remembers the newest alone; a NATS that went back further is compared with the
        journal.
        """
        span = _TAIL
        while True:
            first = max(1, last_seq - span + 1)
            n = 0
            async for message in read_all(self._client, first):
                if not message.is_heartbeat:
                    n = max(n, await self._n_of(message.text))
            if n or first == 1:
                return n
            span *= 16

    async def _n_of(self, text: str) -> int:
        try:
            parsed = record.parse_unverified(text)
        except LedgerRejected:
            return 0
        if self._replica.has_forgotten(parsed):
            return parsed.n if await self._journal.vouches_for(parsed) else 0
        return parsed.n if self._replica.has_applied(parsed) else 0

    # --- appending ------------------------------------------------------------------------------

    async def _work(self) -> None:
        while self.active:
            self._outbox.wake.clear()
            await self._restore()
            committed = await self._committing.commit_waiting()
            self._said = ""
            if committed:
                continue
            if self._opening.waiting() is not None:
                await self._committing.step_down()  # to take over again, in the new term
                return
            if self._sequencer.tick_due(wall_clock()):
                await self._committing.commit((), [self._tick()])
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_IDLE_POLL_S):
                        await self._outbox.wake.wait()

    def _tick(self) -> Tick:
        return Tick(
            id=self._event_id(),
            reason="idle",
            initiator="system",
            state_hash=self._replica.state.hash(),
        )

    # --- beating --------------------------------------------------------------------------------

    async def _beat_on(self) -> None:
        """Heartbeats need NATS and the ledger key, and nothing else: no Redis, no outbox."""
        while True:
            policy = self._replica.trust.policy or self._genesis_policy
            self._beat_now.clear()
            if self.active and self._may_beat:
                try:
                    async with self._committing.turn:
                        await self._beat()
                except SteppedDown as reason:
                    _log.warning("stepped down: %s", reason.code)
                except ConfigurationError as error:  # no ledger key: others have one, or nobody
                    await self._committing.step_down()
                    _log.error("no heartbeat can be signed: %s", error.code)
            with suppress(TimeoutError):
                async with asyncio.timeout(policy.heartbeat_ms / 1000):
                    await self._beat_now.wait()

    async def _beat(self) -> None:
        """The clock is read after the head is known, with nothing in between."""
        if self.active and self._may_beat:
            append = self._sequencer.append_heartbeat(lease_clock(), wall_clock())
            await self._appender.append(append)
            self._beaten_at = lease_clock()
