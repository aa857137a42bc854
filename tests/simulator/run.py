"""Play one schedule from its seed, and judge it."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass

from tests.simulator import ring
from tests.simulator.agent_node import AgentNode
from tests.simulator.clock import MILLISECOND
from tests.simulator.crypto import fast_signatures
from tests.simulator.invariants import Violation
from tests.simulator.sequencer_node import SequencerNode
from tests.simulator.world import World
from tocsin_issuer.core import sequencer as sequencers
from tocsin_revocation_bus.core import replica as replicas
from tocsin_revocation_bus.core.replica import AgentState, Outcome
from tocsin_schemas.events import KeysetPublished

TAIL = 24  # lines of the trace that are shown with a violation


@dataclass(frozen=True, slots=True)
class Result:
    """What a schedule showed. ``worst_over_bound`` is in seconds, minus infinity if never near."""

    seed: int
    steps: int
    digest: str
    worst_over_bound: float
    records: int
    accepted: int
    denied: int


def run(seed: int, world: World | None = None) -> Result:
    """Play one schedule.

    Raises:
        Violation: with the seed, the step and the last steps in its message.
    """
    world = World(seed) if world is None else world
    try:
        _begin(world)
        world.run_until(world.profile.duration)
        if world.profile.shuffle_at_end:
            _everything_again(world)
        if world.profile.heal_at_end:
            _heal(world)
    except Violation as violation:
        tail = "\n  ".join(world.trace[-TAIL:])
        message = f"seed {seed}, step {world.steps}: {violation}\n  {tail}"
        raise Violation(violation.invariant, message) from None
    check = world.check
    return Result(
        seed=seed,
        steps=world.steps,
        digest=world.digest(),
        worst_over_bound=check.worst_over_bound,
        records=len(check.texts),
        accepted=check.accepted_count,
        denied=check.denied_count,
    )


def _begin(world: World) -> None:
    """A ledger of one record, two candidates, the agents, some tokens; then all is set going."""
    genesis(world)
    rng, profile = world.rng, world.profile
    world.sequencers += [SequencerNode(world, f"sequencer-{n}") for n in (1, 2)]
    world.agents += [AgentNode(world, f"agent-{n + 1}") for n in range(profile.agents)]
    for _ in range(8):
        world.mint()
    for agent in world.agents:
        _put_in_motion(world, agent)
    lease = profile.lease
    world.every(lease // 3, "mint", world.mint)
    world.every(lease // 3, "command", world.command)
    world.every(lease // 4, "faults", world.faults.strike)
    if profile.adversary > 0.2:
        world.every(int(60 * MILLISECOND / profile.adversary), "attack", world.adversary.act)
    rng.shuffle(world.agents)


def genesis(world: World) -> None:
    """The first record brings the first keyset."""
    document = ring.keyset(1, world.profile.policy, ring.TOKEN_KEYS[:2])
    event = KeysetPublished(id="genesis", reason="init", initiator="admin", keyset=document)
    core = sequencers.Sequencer(
        ring.ISSUER,
        ring.LEDGER_KEYS[0],
        replicas.Replica(ring.ISSUER, ring.PINNED),
        "genesis-clock-00",
    )
    core.take_over(0, 0)
    text = core.build([event], "genesis", world.utc)
    world.durable.journal_put(1, text)
    world.stream.publish_surely(core.append_record(text), world.now)


def _put_in_motion(world: World, agent: AgentNode) -> None:
    lease = world.profile.lease
    world.at(0, f"{agent.name} syncs", agent.sync)
    world.at(0, f"{agent.name} catches up", agent.catch_up)
    world.every(lease, f"{agent.name} syncs", agent.sync)
    world.every(lease // 2, f"{agent.name} catches up", agent.catch_up)
    world.every(70 * MILLISECOND, f"{agent.name} verifies", lambda: world.verify(agent))


def _everything_again(world: World) -> None:
    """I5: a new replica that gets all that was ever seen, in any order, and twice."""
    rng, check = world.rng, world.check
    agent = AgentNode(world, "latecomer")
    messages = world.adversary.seen * 2
    rng.shuffle(messages)
    for _ in range(len(check.texts) + 1):
        before = agent.replica.head
        for kind, text in messages:
            agent.receive(kind, text)
        if agent.replica.head == before:
            break
    for token in world.population.tokens:
        agent.verify(token)


def _heal(world: World) -> None:
    """Without faults all is well again soon: nothing is lost, everybody is live and agrees."""
    world.network.heal()
    world.stream.ghost_ack = 0.0
    for node in world.sequencers:
        node.wall.offset_s = 0.0
        if not node.process.alive:
            node.restart()
        node.process.go_on()
    for agent in world.agents:
        agent.wall.offset_s = 0.0
    heartbeat = world.profile.heartbeat
    for _ in range(3):
        world.run_until(world.now + 4 * heartbeat)
        for agent in world.agents:
            agent.sync()
            agent.catch_up()
    world.run_until(world.now + 2 * heartbeat)
    _judge_the_end(world)


def _judge_the_end(world: World) -> None:
    check = world.check
    texts = [message.text for message in world.stream.messages.values() if message.is_record]
    if texts != check.texts:
        check.fail("ledger", f"{len(check.texts) - len(texts)} records are lost")
    if world.durable.outbox:
        check.fail("liveness", f"never committed: {list(world.durable.outbox)}")
    audit = replicas.Replica(ring.ISSUER, ring.PINNED)
    for text in texts:
        if audit.apply_record(text, 0, ring.EPOCH_S + ring.LIFE_S) is not Outcome.APPLIED:
            check.fail("I8", "a replay of the ledger does not go through")
    for agent in world.agents:
        agent_now, wall = agent.clock.read(world.now), agent.wall.read(world.now)
        status = agent.replica.status(agent_now, wall)
        if status.state is not AgentState.LIVE:
            check.fail("liveness", f"{agent.name} is {status.state.value}: {status.reason}")
        if agent.replica.head != audit.head or agent.replica.state.hash() != audit.state.hash():
            check.fail("I8", f"{agent.name} does not agree with a replay")


def main() -> int:
    """Play a range of seeds and say how fast."""
    parser = argparse.ArgumentParser(prog="tests.simulator.run", description=main.__doc__)
    parser.add_argument("--seeds", type=int, default=300)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--real-crypto", action="store_true")
    parser.add_argument("--keep-going", action="store_true")
    chosen = parser.parse_args()
    began, results, failed = time.perf_counter(), [], 0
    with nullcontext() if chosen.real_crypto else fast_signatures():
        for seed in range(chosen.first, chosen.first + chosen.seeds):
            try:
                results.append(run(seed))
            except Violation as violation:
                failed += 1
                sys.stdout.write(f"{violation}\n")
                if not chosen.keep_going:
                    return 1
    elapsed = time.perf_counter() - began
    sys.stdout.write(
        f"{chosen.seeds} seeds, {chosen.seeds / elapsed:.0f} a second, {failed} violations, "
        f"{sum(r.steps for r in results)} steps, {sum(r.records for r in results)} records, "
        f"{sum(r.accepted for r in results)} accepted, {sum(r.denied for r in results)} denied, "
        f"worst over bound {max(r.worst_over_bound for r in results):.9f} s\n"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
