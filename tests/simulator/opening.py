"""How a world begins: a ledger of one record, two candidates, agents, some tokens."""

from __future__ import annotations

from tests.simulator import ring
from tests.simulator.agent_node import AgentNode
from tests.simulator.clock import MILLISECOND
from tests.simulator.sequencer_node import SequencerNode
from tests.simulator.world import World
from tocsin_issuer.core import sequencer as sequencers
from tocsin_revocation_bus.core import replica as replicas
from tocsin_schemas.events import KeysetPublished


def populate(world: World) -> None:
    """Everybody is there, and does what they do by themselves."""
    genesis(world)
    world.sequencers += [SequencerNode(world, f"sequencer-{n}") for n in (1, 2)]
    world.agents += [AgentNode(world, f"agent-{n + 1}") for n in range(world.profile.agents)]
    for _ in range(8):
        world.mint()
    for agent in world.agents:
        _put_in_motion(world, agent)


def unleash(world: World) -> None:
    """Commands, requests, faults and attacks, at random."""
    profile, lease = world.profile, world.profile.lease
    for agent in world.agents:
        _send_requests(world, agent)
    world.every(lease // 3, "mint", world.mint)
    world.every(lease // 3, "command", world.command)
    world.every(lease // 4, "faults", world.faults.strike)
    if profile.adversary > 0.2:
        world.every(int(60 * MILLISECOND / profile.adversary), "attack", world.adversary.act)


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


def _send_requests(world: World, agent: AgentNode) -> None:
    world.every(70 * MILLISECOND, f"{agent.name} verifies", lambda: world.verify(agent))
