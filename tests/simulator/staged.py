"""Schedules written by hand for the whole world: sequencers, stream, journal and agent together.

Chance seldom lets a leader sleep through a takeover, or makes a stream lose a record just when both
candidates have to begin anew.
"""

from __future__ import annotations

from tests.simulator import profile as profiles
from tests.simulator import ring
from tests.simulator.agent_node import AgentNode
from tests.simulator.clock import SECOND
from tests.simulator.opening import populate
from tests.simulator.population import Token
from tests.simulator.world import World
from tocsin_issuer.core.sequencer import Role
from tocsin_schemas.claims import rule_until
from tocsin_schemas.events import RevokedToken, TokensRevoked
from tocsin_schemas.keyset import Policy

_CALM = profiles.Profile(
    policy=Policy(lease_ms=800, heartbeat_ms=200, rho_ppm=500),
    utc_s=float(ring.EPOCH_S),
    agents=1,
    duration=0,
    drop=0.0,
    duplicate=0.0,
    slow=0.0,
    stale_read=0.0,
    ghost_ack=0.0,
    dedupe_first=False,
    pause=0.0,
    crash=0.0,
    partition=0.0,
    adversary=0.0,
    restore=False,
    long=False,
    shuffle_at_end=False,
    heal_at_end=False,
)


class Stage(World):
    """A calm world with one agent, in which nothing happens by chance."""

    def __init__(self) -> None:
        super().__init__(0, _CALM)
        populate(self)
        for wall in (*(n.wall for n in self.sequencers), *(a.wall for a in self.agents)):
            wall.offset_s = 0.0
        self.run(2.0)

    @property
    def agent(self) -> AgentNode:
        """The only one."""
        return self.agents[0]

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        self.run_until(self.now + int(seconds * SECOND))

    def revoke(self, token: Token) -> None:
        """Revoke one token, for exactly as long as is needed, and wait until it is done."""
        revoked = RevokedToken(token.jti, rule_until(token.exp))
        event = TokensRevoked(id="e1", reason="logout", initiator="user", tokens=(revoked,))
        self.durable.submit(event)
        self.run(0.5)
        assert "e1" in self.durable.acknowledged

    def spite(self, agent: AgentNode) -> None:
        """Nobody interferes."""

    def preempt(self, agent: AgentNode, token: Token) -> None:
        """No thread is put aside."""


def leader_wakes_up() -> None:
    """The active sequencer is stopped; another takes over and commits; then the first goes on.

    It does not know that it has been deposed until the fence says so, and an agent that has missed
    the new record must not hear from it that all is well.
    """
    stage = Stage()
    agent, token = stage.agent, stage.population.tokens[0]
    leader = next(node for node in stage.sequencers if node.core.role is Role.ACTIVE)
    leader.process.stop(stage.now + 2 * SECOND)
    stage.network.cut_off(agent.name, stage.now + 2 * SECOND)
    stage.run(1.4)
    stage.revoke(token)
    stage.run(1.0)
    agent.verify(token)
    assert stage.check.denied_count == 1
    assert leader.core.role is Role.CANDIDATE


def restored_behind_the_journal() -> None:
    """The stream comes back without an acknowledged record, and both candidates start anew.

    An agent that lacks the record may hear no heartbeat before the journal has been appended.
    """
    stage = Stage()
    agent, token = stage.agent, stage.population.tokens[0]
    agent.verify(token)
    assert stage.check.accepted_count == 1
    last_seq, records = stage.stream.last_seq, stage.check.stream_n
    stage.network.cut_off(agent.name, stage.now + SECOND)
    stage.revoke(token)
    for node in stage.sequencers:
        node.process.kill()
    stage.stream.restore(sum(1 for seq in stage.stream.messages if seq > last_seq), stage.now)
    stage.check.stream_n = records
    for node in stage.sequencers:
        node.restart()
    stage.network.cut_off(agent.name, stage.now)
    agent.sync()  # with every candidate, so that no failover needs a new one
    for _ in range(30):
        stage.run(0.1)
        agent.verify(token)
    assert stage.check.denied_count
