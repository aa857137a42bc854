"""What befalls machines: stops, crashes, partitions, clocks that change, a stream gone back."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from tests.simulator.clock import SECOND

if TYPE_CHECKING:
    from tests.simulator.agent_node import AgentNode
    from tests.simulator.world import World


class Faults:
    """One call of ``strike`` may do several things, each by its own chance."""

    def __init__(self, world: World, rng: Random) -> None:
        self._world = world
        self._rng = rng
        self._restored = False

    def strike(self) -> None:
        """Anything may happen to anybody."""
        world, rng = self._world, self._rng
        profile, chance = world.profile, rng.random
        for node in world.sequencers:
            if chance() < profile.pause:
                node.process.stop(world.now + int(chance() * 2 * profile.lease))
                world.note(f"{node.name} stopped")
            if chance() < profile.crash and node.process.alive:
                node.process.kill()
                world.note(f"{node.name} crashed")
                world.at(world.now + int(chance() * SECOND), f"{node.name} starts", node.restart)
            if chance() < profile.partition / 4:
                world.network.cut_off(node.name, world.now + int(chance() * profile.lease))
            if chance() < 0.1:
                node.clock.change_rate(world.now, world.rate())
            if chance() < 0.02:
                node.wall.offset_s = rng.uniform(-200, 200)
        for agent in world.agents:
            self._strike_agent(agent)
        if profile.restore and not self._restored and chance() < 0.1:
            self._restore()
        if profile.long and chance() < 0.08:
            self._quiet_hour()

    def _strike_agent(self, agent: AgentNode) -> None:
        world, rng = self._world, self._rng
        profile, chance = world.profile, rng.random
        if chance() < profile.partition:
            until = world.now + int(chance() * 2.5 * profile.lease)
            world.network.cut_off(agent.name, until)
            world.note(f"{agent.name} cut off until {until}")
        if chance() < profile.crash and agent.verifying is None:
            agent.start()
            world.note(f"{agent.name} restarted")
        if chance() < 0.1:
            agent.clock.change_rate(world.now, world.rate() + world.slew_ppm)
        if chance() < (0.15 if profile.long else 0.03):
            self._wall_jumps(agent)

    def _wall_jumps(self, agent: AgentNode) -> None:
        """By seconds or by hours, and soon back again."""
        world, rng = self._world, self._rng

        def jump(offset_s: float) -> None:
            agent.wall.offset_s = offset_s
            world.note(f"{agent.name} wall clock is off by {offset_s}")
            for token in [*world.check.oracle.since][-6:]:
                agent.verify(token)

        jump(rng.choice((rng.uniform(-290, 290), rng.uniform(-7200, 0), rng.uniform(0, 7200))))
        back = world.now + int(rng.random() * world.profile.lease / 2)
        world.at(back, f"{agent.name} wall clock jumps back", lambda: jump(0.0))

    def _restore(self) -> None:
        """The stream comes back without its last messages; sequences go on above all."""
        self._restored = True
        world = self._world
        lost = world.stream.restore(self._rng.randint(1, 8), world.now)
        records = sum(1 for message in lost if message.is_record)
        world.check.stream_n -= records
        world.note(f"stream restored without {records} records")

    def _quiet_hour(self) -> None:
        """Nobody runs, nothing moves, time passes; what was on its way arrives late."""
        world = self._world
        world.now += int(self._rng.uniform(0.2, 1.5) * 3600) * SECOND
        world.note("a quiet hour has passed")
