"""One verifier agent: the shell around ``Replica`` and ``TokenVerifier``, in small.

It takes the live tail, catches up when it hears of records it lacks, syncs its clock with every
candidate, and verifies. While a verification runs, its thread may be put aside and the agent's own
thread may move the replica: see ``Interposed``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulator import ring
from tests.simulator.adversary import Kind
from tests.simulator.clock import SECOND
from tests.simulator.population import Token
from tocsin_revocation_bus.core import replica as replicas
from tocsin_revocation_bus.core.replica import Outcome, Replica
from tocsin_revocation_bus.core.state import TokenFacts
from tocsin_schemas.errors import AgentStale, TokenRejected
from tocsin_verifier_agent.core.authority import LedgerAuthority, Rules, TrustedKey
from tocsin_verifier_agent.core.token_verifier import TokenVerifier

if TYPE_CHECKING:
    from tests.simulator.world import World

_RULES = "key_revoked token_revoked session_revoked subject_revoked client_revoked all_revoked"
RULE_CODES = frozenset(_RULES.split())


class InterposedRules:
    """The real rules, with a preemption point after each thing that the verifier asks."""

    def __init__(self, rules: Rules, preempt: Callable[[], None]) -> None:
        self._rules = rules
        self._preempt = preempt

    @property
    def generation(self) -> int:
        """Then anything may happen."""
        generation = self._rules.generation
        self._preempt()
        return generation

    @property
    def horizon(self) -> int:
        """Then anything may happen."""
        horizon = self._rules.horizon
        self._preempt()
        return horizon

    def why_rejected(self, facts: TokenFacts) -> str | None:
        """Then anything may happen."""
        code = self._rules.why_rejected(facts)
        self._preempt()
        return code


class Interposed(LedgerAuthority):
    """The real authority, interposed likewise."""

    def __init__(self, replica: Replica, preempt: Callable[[], None]) -> None:
        super().__init__(replica, InterposedRules(replica.state, preempt), self._vouched_until)
        self._lease = replica.vouched_until
        self._preempt = preempt

    def keys(self, kid: str) -> tuple[TrustedKey, ...]:
        """Then anything may happen."""
        keys = super().keys(kid)
        self._preempt()
        return keys

    def _vouched_until(self, max_staleness_ns: int | None, wall: float) -> int | None:
        until = self._lease(max_staleness_ns, wall)
        self._preempt()
        return until


class AgentNode:
    """Everything that a restart loses; ``clock``, ``quick`` and ``wall`` are the machine's."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.clock = world.new_lease_clock()
        self.quick = world.new_quick_clock()
        self.wall = world.new_wall_clock(240)
        self.verifying: Token | None = None
        self.start()

    def start(self) -> None:
        """A new process: nothing is known."""
        self.replica = replicas.Replica(ring.ISSUER, ring.PINNED)
        self.verifier = TokenVerifier(
            Interposed(self.replica, self._preempt),
            audiences={ring.ISSUER: frozenset([ring.AUDIENCE])},
            lease_clock=lambda: self.clock.read(self.world.now),
            wall_clock=lambda: self.wall.read(self.world.now),
            quick_clock=lambda: self.quick.read(self.world.now) / SECOND,
        )
        self.taken: set[str] = set()
        self._fetching_until = 0
        self._synced_at = -self.world.profile.lease
        self._proven_at: int | None = None
        self.world.check.replica_started(self.name)

    # --- the ledger -----------------------------------------------------------------------------

    def receive(self, kind: Kind, text: str) -> None:
        """Whatever comes from the network, from whomever."""
        world, replica = self.world, self.replica
        now, wall = self.clock.read(world.now), self.wall.read(world.now)
        generation, replayed = replica.state.generation, text in self.taken
        match kind:
            case "record":
                outcome = replica.apply_record(text, now, wall)
            case "heartbeat":
                outcome = replica.apply_heartbeat(text, now, wall)
            case "clock":
                outcome = replica.apply_clock_reply(text, now, wall)
        world.note(outcome.value)
        if outcome is Outcome.APPLIED:
            self.taken.add(text)
        world.check.replica_moved(self.name, replica, self.clock)
        if replayed and kind == "record":
            world.check.replayed(self, generation)
        if replica.lease.proven_at != self._proven_at:
            self._proven_at = replica.lease.proven_at
            world.probe(self)
            world.spite(self)
        if replica.behind or outcome is Outcome.BEHIND:
            self.catch_up()
        if kind == "heartbeat" and replica.needs_sync():
            self.sync()

    def catch_up(self) -> None:
        """Ask for what follows our head, unless a request is on its way."""
        world = self.world
        if self._fetching_until > world.now:
            return
        self._fetching_until = world.now + world.profile.heartbeat
        head = self.replica.head
        world.ask_history(self, 0 if head is None else head.n)

    def history(self, messages: list[tuple[Kind, str]]) -> None:
        """The answer to ``catch_up``."""
        world = self.world
        self._fetching_until = world.now + world.profile.heartbeat // 4
        for kind, text in messages:
            self.receive(kind, text)

    def sync(self) -> None:
        """Ask every candidate for its clock."""
        world = self.world
        if self._synced_at + world.profile.heartbeat > world.now:
            return
        self._synced_at = world.now
        for node in world.sequencers:
            nonce = f"{world.rng.getrandbits(132):022x}".ljust(34, "0")
            self.replica.sync_sent(nonce, self.clock.read(world.now))
            world.ask_clock(self, node, nonce)

    # --- tokens ---------------------------------------------------------------------------------

    def verify(self, token: Token) -> None:
        """Verify as a service would, and let the invariants look at the answer."""
        if self.verifying is not None:
            return  # one verification at a time; other threads would see no more
        check, world = self.world.check, self.world
        verifier = self.verifier
        self.verifying = token
        try:
            verifier.verify(token.text)
        except TokenRejected as rejected:
            check.rejected(self, token, rejected.code in RULE_CODES)
        except AgentStale:
            world.note("stale")
        else:
            check.accepted(self, token)
        finally:
            self.verifying = None

    def verify_forged(self, text: str) -> None:
        """No token but the issuer's is ever accepted."""
        if self.verifying is not None:
            return
        try:
            self.verifier.verify(text)
        except (TokenRejected, AgentStale):
            return
        self.world.check.forged_token_accepted(self)

    def _preempt(self) -> None:
        if self.verifying is not None:
            self.world.preempt(self, self.verifying)
