"""Feeds a replica: the live tail, catching up after a gap, and clock sync.

Three small loops around one machine. None of them decides anything about the ledger: they bring
bytes, and the replica says whether it is behind.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from tocsin_revocation_bus.clocks import lease_clock, wall_clock
from tocsin_revocation_bus.core.replica import AgentState, Outcome, Replica, Status
from tocsin_revocation_bus.jetstream.backoff import Backoff
from tocsin_revocation_bus.jetstream.clock_sync import ClockSyncLoop
from tocsin_revocation_bus.jetstream.connection import PENDING_LIMITS, BusAddress, connect
from tocsin_revocation_bus.jetstream.direct_get import ReadFailed, read_batch
from tocsin_revocation_bus.tasks import end
from tocsin_schemas.subjects import EDGE_HEARTBEAT, EDGE_SUBJECTS

_LOOK_S = 0.25
_READ_ON_S = 2.0
_AFTER_S = 0.01  # a lease that has lapsed by no more than the clock's grain still counts
_log = logging.getLogger("tocsin.agent")


class Follower:
    """Keeps ``replica`` at the head of the ledger for as long as it runs."""

    def __init__(
        self,
        replica: Replica,
        address: BusAddress,
        *,
        name: str,
        on_change: Callable[[Status], None] | None = None,
    ) -> None:
        self.replica = replica
        self.next_seq = 1
        self.connected = False
        self._address = address
        self._name = name
        self._on_change = on_change
        self._client: Client | None = None
        self._catch_up = asyncio.Event()
        self._sync = ClockSyncLoop(replica, self._on_answer)
        self._moved = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._last_status: Status | None = None

    # --- life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start following in the background; returns at once, whether NATS is there or not."""
        self._tasks = [
            asyncio.create_task(self._run(), name=f"{self._name}-run"),
            asyncio.create_task(self._watch(), name=f"{self._name}-watch"),
        ]

    async def stop(self) -> None:
        """Stop following; the replica keeps what it has."""
        tasks, self._tasks = self._tasks, []
        await end(*tasks)
        if self._client is not None and not self._client.is_closed:
            await self._client.close()
        self.connected = False

    async def wait_live(self, timeout: float) -> bool:
        """Wait until the replica is live, or has refused; ``timeout`` in seconds."""
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            state = self.status().state
            if state is AgentState.LIVE:
                return True
            remaining = deadline - asyncio.get_running_loop().time()
            if remaining <= 0:
                return False
            self._moved.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(remaining, _LOOK_S)):
                    await self._moved.wait()

    async def read_now(self) -> None:
        """Read the stream to its end, now.

        Raises:
            ReadFailed: it cannot be read.
        """
        if self._client is None or not self.connected:
            raise ReadFailed("disconnected")
        await self._read_to_the_end(self._client)

    def status(self) -> Status:
        """The replica's state and reason, or that NATS is not there."""
        return self._status_at(lease_clock(), wall_clock())

    def _status_at(self, now: int, wall: float) -> Status:
        status = self.replica.status(now, wall)
        if not self.connected and status.state in (AgentState.STARTING, AgentState.SYNCING):
            return Status(status.state, "disconnected")
        if not self.connected and status == Status(AgentState.STALE, "lease_lapsed"):
            return Status(AgentState.STALE, "disconnected")
        return status

    # --- the loops ------------------------------------------------------------------------------

    async def _run(self) -> None:
        backoff = Backoff()
        while True:
            closed = asyncio.Event()
            try:
                client = await self._connect(closed)
            except (NatsError, OSError) as error:
                _log.warning("cannot connect to NATS: %s", type(error).__name__)
                await backoff.pause()
                continue
            await self._follow(client, closed)  # until NATS has refused us for good
            await backoff.pause()

    async def _connect(self, closed: asyncio.Event) -> Client:
        async def on_closed() -> None:
            closed.set()

        self._client = await connect(
            self._address,
            name=self._name,
            on_connected=self._on_connected,
            on_lost=self._on_lost,
            on_error=self._on_error,
            on_closed=on_closed,
        )
        return self._client

    async def _follow(self, client: Client, closed: asyncio.Event) -> None:
        # Subscribe before reading, so that nothing falls in between.
        await client.subscribe(EDGE_SUBJECTS, cb=self._on_message, **PENDING_LIMITS)
        await self._on_connected()
        loops = [
            asyncio.create_task(self._catch_up_loop(client)),
            asyncio.create_task(self._sync.run(client)),
        ]
        waiting = asyncio.create_task(closed.wait())
        try:
            await asyncio.wait([*loops, waiting], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end(*loops, waiting)

    async def _on_connected(self) -> None:
        self.connected = True
        self._catch_up.set()
        self._sync.connected()
        self._report()

    async def _on_lost(self) -> None:
        self.connected = False
        self._report()

    async def _on_error(self, error: Exception) -> None:
        _log.debug("NATS: %s", type(error).__name__)

    async def _on_message(self, message: Msg) -> None:
        text = message.data.decode("ascii", "replace")
        now, wall = lease_clock(), wall_clock()
        if message.subject == EDGE_HEARTBEAT:
            outcome = self.replica.apply_heartbeat(text, now, wall)
            self._sync.look()
        else:
            outcome = self.replica.apply_record(text, now, wall)
            seq = (message.headers or {}).get("Nats-Sequence", "")
            if outcome is Outcome.APPLIED and seq.isascii() and seq.isdigit():
                self.next_seq = max(self.next_seq, int(seq) + 1)
        if outcome is Outcome.BEHIND or (outcome is Outcome.NOISE and self.replica.head is None):
            self._catch_up.set()
        self._report_at(now, wall)

    async def _catch_up_loop(self, client: Client) -> None:
        backoff = Backoff()
        while True:
            await self._catch_up.wait()
            self._catch_up.clear()
            try:
                read = await self._read_to_the_end(client)
                self._sync.look()
                if not self.replica.behind:
                    backoff.reset()
                    continue
                if read == 0:
                    self.next_seq = 1  # the stream may have been made anew; the chain will tell
            except ReadFailed:
                pass
            self._catch_up.set()
            await backoff.pause()

    async def _read_to_the_end(self, client: Client) -> int:
        seq, total = self.next_seq, 0
        while True:
            read, beats = 0, list[str]()
            async for message in read_batch(client, seq):
                if message.is_heartbeat:
                    beats.append(message.text)
                else:
                    self.replica.apply_record(message.text, lease_clock(), wall_clock())
                seq = message.seq + 1
                read += 1
            self._apply_newest(beats)
            self.next_seq = max(self.next_seq, seq)
            self._report()
            if read == 0:
                return total
            total += read

    def _apply_newest(self, beats: Sequence[str]) -> None:
        """Of the heartbeats read back, the newest good one says all: it names the latest head, and
        it renews the furthest. Each of the others would cost as much as a record.
        """
        for beat in reversed(beats):
            outcome = self.replica.apply_heartbeat(beat, lease_clock(), wall_clock())
            if outcome is not Outcome.NOISE:
                return

    def _on_answer(self) -> None:
        if self.replica.behind:
            self._catch_up.set()
        self._report()

    # --- saying it once -------------------------------------------------------------------------

    async def _watch(self) -> None:
        """A lease lapses without any message: look at the clock when that may be.

        Whoever is not live reads on, even where no heartbeat says that there is anything to read:
        after a missed change of ledger keys the heartbeats themselves cannot be checked, and a
        halted replica waits for the record that opens a term.
        """
        while True:
            self._report()
            live = self._last_status is not None and self._last_status.state is AgentState.LIVE
            until = self.replica.valid_until() if live else None
            left_s = _READ_ON_S if until is None else (until - lease_clock()) / 1e9
            await asyncio.sleep(min(max(left_s, 0.0) + _AFTER_S, _READ_ON_S))
            live = self._last_status is not None and self._last_status.state is AgentState.LIVE
            if self.connected and not live:
                self._catch_up.set()

    def _report(self) -> None:
        self._report_at(lease_clock(), wall_clock())

    def _report_at(self, now: int, wall: float) -> None:
        status = self._status_at(now, wall)
        if status is self._last_status or status == self._last_status:
            return
        self._last_status = status
        self._moved.set()
        refuses = status.state in (AgentState.STALE, AgentState.REFUSED)
        level = logging.WARNING if refuses else logging.INFO
        _log.log(level, "%s is %s %s", self._name, status.state.value, status.reason)
        if self._on_change is not None:
            self._on_change(status)
