"""A process that can be stopped between any two of its steps, killed, and started again.

Its body is a generator; every ``yield`` is a place where the scheduler may take the processor away
for as long as it likes (SIGSTOP), or for ever.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from tests.simulator.store import Ack, Batch, FenceError, Found
from tocsin_issuer.core.sequencer import Append

if TYPE_CHECKING:
    from tests.simulator.world import World


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait for so many nanoseconds."""

    duration: int


@dataclass(frozen=True, slots=True)
class Publish:
    """Append to the stream."""

    append: Append


@dataclass(frozen=True, slots=True)
class Read:
    """Look at one sequence of the stream."""

    seq: int


@dataclass(frozen=True, slots=True)
class Fetch:
    """Read the stream from a sequence on."""

    after: int


Request: TypeAlias = Sleep | Publish | Read | Fetch
Answer: TypeAlias = Ack | FenceError | Found | Batch | None  # None: no answer in time
Body: TypeAlias = Generator[Request, Answer, None]


class Process:
    """Runs one body. ``name`` is the node's, for partitions and the trace."""

    def __init__(self, world: World, name: str, body: Body) -> None:
        self.alive = True
        self._world = world
        self._name = name
        self._body = body
        self._waiting_for = 0
        self._stopped_until = 0
        self._resume_at(world.now, 0, None)

    def kill(self) -> None:
        """The process is gone; requests on their way arrive all the same."""
        self.alive = False
        self._body.close()

    def stop(self, until: int) -> None:
        """SIGSTOP, and SIGCONT at ``until``."""
        self._stopped_until = max(self._stopped_until, until)

    def go_on(self) -> None:
        """SIGCONT."""
        self._stopped_until = self._world.now
        self._resume_at(self._world.now, self._waiting_for, None)

    @property
    def stopped(self) -> bool:
        """Whether it is being kept from running."""
        return self._stopped_until > self._world.now

    def wake_after(self) -> int:
        """When it may run again."""
        return max(self._world.now, self._stopped_until)

    def _resume_at(self, time: int, ticket: int, answer: Answer) -> None:
        self._world.at(time, f"{self._name} runs", lambda: self._resume(ticket, answer))

    def _resume(self, ticket: int, answer: Answer) -> None:
        if not self.alive or ticket != self._waiting_for:
            return
        if self.stopped:
            self._resume_at(self._stopped_until, ticket, answer)
            return
        self._waiting_for += 1
        try:
            request = self._body.send(answer)
        except StopIteration:
            self.alive = False
            return
        self._begin(request, self._waiting_for)

    def _begin(self, request: Request, ticket: int) -> None:
        world = self._world
        if isinstance(request, Sleep):
            self._resume_at(world.now + request.duration, ticket, None)
            return
        self._resume_at(world.now + world.profile.heartbeat // 2, ticket, None)
        world.network.send(
            world.now,
            self._name,
            f"{self._name} {type(request).__name__} arrives",
            lambda: self._serve(request, ticket),
        )

    def _serve(self, request: Publish | Read | Fetch, ticket: int) -> None:
        world = self._world
        stream, now = world.stream, world.now
        answer: Answer
        match request:
            case Publish(append):
                answer = stream.publish(append, now)
                world.note(answer)
            case Read(seq):
                answer = stream.read(seq, now, world.read_lag())
            case Fetch(after):
                answer = stream.fetch(after, now, world.read_lag())
        if answer is not None:
            world.network.send(
                now, self._name, f"{self._name} answered", lambda: self._resume(ticket, answer)
            )
