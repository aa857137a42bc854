"""Mutants of what the cores rely on: the fence, the clocks, and the shells' order of steps."""

from __future__ import annotations

from contextlib import AbstractContextManager

from tests.simulator.agent_node import AgentNode
from tests.simulator.patching import replaced
from tests.simulator.sequencer_node import SequencerNode
from tests.simulator.store import Stream
from tests.simulator.world import World

Context = AbstractContextManager[None]


def no_fence() -> Context:
    return replaced(Stream, "fenced", False)


def slewed_clock() -> Context:
    return replaced(World, "slew_ppm", -100_000)


def lease_over_restart() -> Context:
    original = AgentNode.start

    def start(self: AgentNode) -> None:
        former = getattr(self, "replica", None)
        original(self)
        if former is not None:
            self.replica.lease = former.lease

    return replaced(AgentNode, "start", start)


def beats_before_journal() -> Context:
    return replaced(SequencerNode, "may_beat", lambda self: True)


def journal_from_own_head() -> Context:
    def journaled(self: SequencerNode) -> str | None:
        head_n = 0 if self.replica.head is None else self.replica.head.n
        self._stream_n = head_n
        return self.world.durable.journal.get(head_n + 1)

    return replaced(SequencerNode, "journaled", journaled)
