"""How a world ends: what was seen is played again, faults cease, and all must be well."""

from __future__ import annotations

from tests.simulator import ring
from tests.simulator.agent_node import AgentNode
from tests.simulator.world import World
from tocsin_revocation_bus.core import replica as replicas
from tocsin_revocation_bus.core.replica import AgentState, Outcome


def everything_again(world: World) -> None:
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


def heal(world: World) -> None:
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
