"""The world: true time, the agenda, and everybody in it. One seed, one course of events."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from heapq import heappop, heappush
from random import Random

from tests.simulator import profile as profiles
from tests.simulator import ring
from tests.simulator.adversary import Adversary, Kind
from tests.simulator.agent_node import AgentNode
from tests.simulator.clock import MILLISECOND, NTP_SLEW_PPM, SECOND, LeaseClock, WallClock
from tests.simulator.commands import Commands
from tests.simulator.durable import Durable
from tests.simulator.faults import Faults
from tests.simulator.invariants import Check
from tests.simulator.network import Network
from tests.simulator.population import Population, Token
from tests.simulator.profile import Profile
from tests.simulator.sequencer_node import SequencerNode
from tests.simulator.store import Message, Stream
from tocsin_schemas import jws, strict_json
from tocsin_schemas.base64url import decode


class World:
    """``now`` is true time; ``trace`` is what the digest is made of."""

    slew_ppm = 0

    def __init__(self, seed: int, profile: Profile | None = None) -> None:
        self.rng = rng = Random(seed)
        self.profile = profiles.draw(rng, ring.EPOCH_S) if profile is None else profile
        self.now = 0
        self.steps = 0
        self.trace: list[str] = []
        self._agenda: list[tuple[int, int, str, Callable[[], None]]] = []
        self._count = 0
        self._depth = 0
        self.check = Check(self)
        self.durable = Durable()
        self.network = Network(rng, self.profile, self.at)
        self.stream = Stream(
            rng, dedupe_first=self.profile.dedupe_first, ghost_ack=self.profile.ghost_ack
        )
        self.stream.on_commit += [self.check.committed, self._republish]
        self.population = Population(rng)
        self.commands = Commands(rng, self.profile.policy)
        self.adversary = Adversary(self, rng)
        self.sequencers: list[SequencerNode] = []
        self.agents: list[AgentNode] = []
        self.faults = Faults(self, rng)

    # --- time -----------------------------------------------------------------------------------

    def at(self, time: int, label: str, action: Callable[[], None]) -> None:
        """Put something on the agenda."""
        self._count += 1
        heappush(self._agenda, (time, self._count, label, action))

    def every(self, mean: int, label: str, action: Callable[[], None]) -> None:
        """Do something again and again, at random times ``mean`` apart, while there are faults."""

        def again() -> None:
            if self.network.healed:
                return
            action()
            self.at(self.now + int(self.rng.uniform(0.3, 1.7) * mean), label, again)

        self.at(self.now + int(self.rng.random() * mean), label, again)

    def run_until(self, end: int) -> None:
        """Let things happen. It may be called from within a step, while a thread is put aside."""
        agenda = self._agenda
        while agenda and agenda[0][0] <= end:
            time, _, label, action = heappop(agenda)
            self.now = max(self.now, time)
            self.steps += 1
            self.note(label)
            action()
        self.now = max(self.now, end)

    def note(self, what: object) -> None:
        """Add a line to the trace."""
        self.trace.append(f"{self.now} {what}")

    def digest(self) -> str:
        """Of all that has happened."""
        return blake2b("\n".join(self.trace).encode(), digest_size=16).hexdigest()

    @property
    def utc(self) -> int:
        """True UTC, whole seconds: the issuer's own clock."""
        return int(self.profile.utc_s + self.now / SECOND)

    # --- clocks ---------------------------------------------------------------------------------

    def rate(self) -> int:
        """A lease clock's error, mostly the largest that rho allows."""
        rho = self.profile.policy.rho_ppm
        return self.rng.choice((-rho, -rho, 0, rho, rho, self.rng.randint(-rho, rho)))

    def new_lease_clock(self) -> LeaseClock:
        """A machine's clock, from an offset of its own."""
        return LeaseClock(self.rng.randrange(10**6, 10**15), self.rate() + self.slew_ppm)

    def new_quick_clock(self) -> LeaseClock:
        """A clock beside it that NTP slews, mostly by as much as the kernel allows."""
        slew_ppm = self.rng.choice((-NTP_SLEW_PPM, -NTP_SLEW_PPM, 0, NTP_SLEW_PPM))
        return LeaseClock(self.rng.randrange(10**6, 10**15), slew_ppm)

    def new_wall_clock(self, most_s: float) -> WallClock:
        """A machine's wall clock: fairly good, or off by minutes."""
        spread = most_s if self.rng.random() < 0.3 else 1.5
        return WallClock(self.profile.utc_s, self.rng.uniform(-spread, spread))

    # --- the edge -------------------------------------------------------------------------------

    def read_lag(self) -> int:
        """How far behind the server is that answers a read."""
        if self.network.healed or self.rng.random() >= self.profile.stale_read:
            return 0
        return self.rng.randint(1, 5)

    def _republish(self, message: Message, now: int) -> None:
        kind: Kind = "record" if message.is_record else "heartbeat"
        self.adversary.seen.append((kind, message.text))
        for agent in self.agents:
            self._deliver(agent, kind, message.text)

    def _deliver(self, agent: AgentNode, kind: Kind, text: str) -> None:
        label = f"{kind} to {agent.name}"
        self.network.send(self.now, agent.name, label, lambda: agent.receive(kind, text))

    def ask_history(self, agent: AgentNode, after_n: int) -> None:
        """A batched get of all records after ``after_n``, and of the newest heartbeat."""

        def serve() -> None:
            messages = list(self.stream.messages.values())
            true: list[tuple[Kind, str]] = [("record", m.text) for m in messages if m.is_record]
            del true[:after_n]
            beats: list[tuple[Kind, str]] = [
                ("heartbeat", m.text) for m in messages[-3:] if not m.is_record
            ]
            true += beats[-1:]
            told = true if self.network.healed else self.adversary.history(true)
            label = f"history to {agent.name}"
            self.network.send(self.now, agent.name, label, lambda: agent.history(told))

        self.network.send(self.now, agent.name, f"{agent.name} asks for history", serve)

    def ask_clock(self, agent: AgentNode, node: SequencerNode, nonce: str) -> None:
        """A clock request, which the candidate answers as soon as it runs."""
        self.adversary.nonces.append(nonce)

        def serve() -> None:
            if self.network.is_cut(node.name, self.now):
                return
            if node.process.stopped:
                self.at(node.process.wake_after(), f"{node.name} wakes", serve)
                return
            text = node.answer_clock(nonce)
            if text is not None:
                self.adversary.seen.append(("clock", text))
                self._deliver(agent, "clock", text)

        self.network.send(self.now, agent.name, f"{agent.name} asks {node.name}", serve)

    def acknowledge(self, ids: list[str], n: int) -> None:
        """Mark commands and tell their senders."""
        self.check.acknowledged(self.durable.mark(ids, n, self.now))

    def named_head(self, text: str) -> int:
        """The head that a heartbeat names, read without any check."""
        body = jws.split(text)[1]
        n = strict_json.loads_object(decode(body))["head_n"]
        return int(n)

    # --- what people do -------------------------------------------------------------------------

    def mint(self) -> None:
        """The issuer signs a token."""
        commands = self.commands
        token = self.population.mint(self.utc, commands.usable_keys, frozenset(commands.dead_sids))
        if token is not None:
            self.check.oracle.minted(token)

    def command(self, target: Token | None = None) -> None:
        """Somebody revokes something."""
        event = self.commands.draw(self.population.tokens, self.utc, target)
        self.note(f"{type(event).__name__} {event.id}")
        self.durable.submit(event)

    def verify(self, agent: AgentNode) -> None:
        """A request comes in, rather with a token that is revoked than with another."""
        rng, hot = self.rng, self.hot(agent)
        token = rng.choice(hot if hot and rng.random() < 0.5 else self.population.tokens)
        agent.verify(token)

    def probe(self, agent: AgentNode) -> None:
        """Verify at the very end of the lease that the agent has now, and a little after it, if it
        gets no better one.
        """
        verifier, until = agent.verifier, agent.replica.valid_until()
        if until is None:
            return

        def verify_some() -> None:
            if agent.verifier is verifier and agent.replica.valid_until() == until:
                for token in self.hot(agent)[-6:]:
                    agent.verify(token)

        end = agent.clock.true_time_of(until + 1) - 1
        self.at(max(end, self.now), f"{agent.name} at the end of its lease", verify_some)
        later = end + self.profile.lease // 20
        self.at(max(later, self.now), f"{agent.name} past the end of its lease", verify_some)

    def spite(self, agent: AgentNode) -> None:
        """The worst moment: cut an agent off as its lease begins, and revoke what it accepts."""
        if self.network.healed or self.rng.random() > 0.12:
            return
        tokens = self.population.tokens
        live = [token for token in tokens if token not in self.check.oracle.since] or tokens
        self.command(self.rng.choice(live))
        self.network.cut_off(agent.name, self.now + int(1.3 * self.profile.lease))

    def hot(self, agent: AgentNode) -> list[Token]:
        """Revoked tokens that this agent has not denied yet."""
        denied = self.check.denied(agent)
        return [token for token in self.check.oracle.since if token not in denied]

    def preempt(self, agent: AgentNode, token: Token) -> None:
        """The verifying thread may lose the processor here, at the worst of times."""
        rng = self.rng
        if self._depth or self.network.healed or rng.random() > 0.03:
            return
        if rng.random() < 0.5:
            self.command(token)
        lease = self.profile.lease
        duration = rng.choice((MILLISECOND, lease // 4, lease, 2 * lease))
        self.note(f"{agent.name} preempted for {duration}")
        self._depth += 1
        self.run_until(self.now + int(rng.uniform(0.4, 1.0) * duration))
        self._depth -= 1
