"""The invariants, checked at every step against what really happened.

The checks know true time, what was committed when, and the oracle's verdicts; they use nothing
that the code under test says of itself, but for its verdicts, its head, its state's hash and where
it believes its lease to start.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.simulator import ring
from tests.simulator.clock import LeaseClock
from tests.simulator.oracle import Oracle
from tests.simulator.population import Token
from tests.simulator.store import Message
from tocsin_revocation_bus.core import replica as replicas
from tocsin_revocation_bus.core.replica import Outcome, Replica
from tocsin_schemas import record

if TYPE_CHECKING:
    from tests.simulator.agent_node import AgentNode
    from tests.simulator.world import World

ROUNDING_NS = 1000  # of clocks that count whole nanoseconds


class Violation(AssertionError):
    """An invariant does not hold. ``invariant`` is its name."""

    def __init__(self, invariant: str, message: str) -> None:
        super().__init__(f"{invariant}: {message}")
        self.invariant = invariant


@dataclass(slots=True)
class Known:
    """What was last seen of one replica, in one life of its process."""

    place: tuple[int, int] = (0, 0)
    proven_at: int | None = None
    denied: set[Token] = field(default_factory=set)


class Check:
    """See the module. ``worst_over_bound`` is in seconds: the latest acceptance, less B."""

    def __init__(self, world: World) -> None:
        self.oracle = Oracle()
        self.worst_over_bound = float("-inf")
        self.accepted_count = 0
        self.denied_count = 0
        self.stream_n = 0
        self.ids: set[str] = set()
        self.texts: list[str] = []
        self._world = world
        self._auditor = replicas.Replica(ring.ISSUER, ring.PINNED)
        self._hashes: list[tuple[str, str]] = []
        self._committed_at: list[int] = []
        self._built: dict[str, int] = {}
        self._newest_beat: dict[int, int] = {}
        self._known: dict[str, Known] = {}

    def fail(self, invariant: str, message: str) -> None:
        """Raise a violation."""
        raise Violation(invariant, message)

    # --- the ledger -----------------------------------------------------------------------------

    def heartbeat_built(self, text: str, read_at: int) -> None:
        """A heartbeat whose ``issuer_time`` was read at the true time ``read_at``."""
        self._built[text] = read_at

    def committed(self, message: Message, now: int) -> None:
        """A message is in the stream."""
        if not message.is_record:
            read_at = self._built[message.text]
            n = self._world.named_head(message.text)
            self._newest_beat[n] = max(read_at, self._newest_beat.get(n, -1))
            return
        parsed = record.parse_unverified(message.text)
        if parsed.n != self.stream_n + 1:
            self.fail("ledger", f"record {parsed.n} stands after record {self.stream_n}")
        self.stream_n = parsed.n
        if parsed.n <= len(self.texts):  # the journal's answer to a restored stream
            if self.texts[parsed.n - 1] != message.text:
                self.fail("ledger", f"another record {parsed.n} than the one that was lost")
            return
        self._extend(message.text, parsed, now)

    def _extend(self, text: str, parsed: record.Record, now: int) -> None:
        auditor = self._auditor
        outcome = auditor.apply_record(text, now, float(parsed.iat))
        if outcome is not Outcome.APPLIED:
            code = auditor.halted.code if auditor.halted else "".join(auditor.noise)
            self.fail("ledger", f"no agent can apply record {parsed.n}: {outcome.value} {code}")
        for event in parsed.events:
            if event.id in self.ids:
                self.fail("ledger", f"command {event.id} stands in the ledger twice")
            self.ids.add(event.id)
        self.texts.append(text)
        self._hashes.append((parsed.hash, auditor.state.hash()))
        self._committed_at.append(now)
        self.oracle.committed(parsed.events, now, self._world.population.tokens)

    def acknowledged(self, ids: list[str]) -> None:
        """Somebody was told that these commands are in the ledger."""
        missing = [name for name in ids if name not in self.ids]
        if missing:
            self.fail("ledger", f"acknowledged, but not in the ledger: {missing}")

    # --- replicas -------------------------------------------------------------------------------

    def replica_started(self, name: str) -> None:
        """A new process: nothing of its former life counts."""
        self._known[name] = Known()

    def replica_moved(self, name: str, replica: Replica, clock: LeaseClock) -> None:
        """Look at a replica after something reached it."""
        known = self._known[name]
        if replica.halted is not None:
            self.fail("honest-ledger", f"{name} halted: {replica.halted.code}")
        head = replica.head
        if head is None:
            return
        place = (head.term, head.n)
        if place < known.place:
            self.fail("I3", f"{name} went from {known.place} to {place}")
        if head.n > len(self.texts) or head.hash != self._hashes[head.n - 1][0]:
            self.fail("I5", f"{name} applied a record {head.n} that is not the ledger's")
        if place != known.place or not self._world.steps & 3:
            if replica.state.hash() != self._hashes[head.n - 1][1]:
                self.fail("I8", f"{name} has another state at {head.n} than a replay")
            known.place = place
        if replica.lease.proven_at != known.proven_at:
            known.proven_at = replica.lease.proven_at
            if known.proven_at is not None:
                self._lease_moved(name, head.n, clock.true_time_of(known.proven_at))

    def _lease_moved(self, name: str, n: int, proven: int) -> None:
        beat = self._newest_beat.get(n)
        if beat is None or proven > beat + ROUNDING_NS:
            late = "no heartbeat" if beat is None else f"{(proven - beat) / 1e6:.3f} ms too late"
            self.fail("I4", f"{name} at {n} renewed: {late}")
        must_have = bisect_left(self._committed_at, proven - ROUNDING_NS)
        if n < must_have:
            self.fail("I4", f"{name} at {n} claims a time at which {must_have} was committed")

    def replayed(self, agent: AgentNode, generation: int) -> None:
        """A replay reached a process that had taken it before: no rule and no place may change."""
        replica = agent.replica
        if replica.state.generation != generation:
            self.fail("I5", f"a replay changed the state of {agent.name}")

    # --- tokens ---------------------------------------------------------------------------------

    def accepted(self, agent: AgentNode, token: Token) -> None:
        """A token was accepted now."""
        self.accepted_count += 1
        if token in self._known[agent.name].denied:
            self.fail("I2", f"{agent.name} accepts a token that it has denied by a rule")
        since = self.oracle.since.get(token)
        if since is None:
            return
        over = self._world.now - since - self._world.profile.bound
        self.worst_over_bound = max(self.worst_over_bound, over / 1e9)
        if over > ROUNDING_NS:
            self.fail("I1", f"{agent.name} accepts {over / 1e6:.3f} ms after the bound")

    def rejected(self, agent: AgentNode, token: Token, by_rule: bool) -> None:
        """A token was denied now."""
        if not by_rule:
            return
        self.denied_count += 1
        if token not in self.oracle.since:
            self.fail("rules", f"{agent.name} denies a token that nobody has revoked")
        self._known[agent.name].denied.add(token)

    def denied(self, agent: AgentNode) -> set[Token]:
        """What this process has denied by a rule."""
        return self._known[agent.name].denied

    def forged_token_accepted(self, agent: AgentNode) -> None:
        """There is no excuse for this."""
        self.fail("forgery", f"{agent.name} accepts a token that the issuer did not sign")
