"""Thousands of agents at rest, and what happens when their server is killed and started again.

With a lease of two minutes nobody goes stale over a restart of some seconds. So an agent counts as
live again when its lease has been renewed from a heartbeat signed after the kill: it is connected,
at the head, and heard.
"""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Sequence

from benchmarks.propagation.groups import GroupProcess, ask_all, group_processes
from benchmarks.propagation.issuer import AUDIENCE
from benchmarks.stack import Stack, running_stack
from tocsin_revocation_bus.clocks import lease_clock

PROCESSES = 8
REST_S = 10.0
_SPARE_FILES = 256
_SETTLE_S = 5.0

Figures = dict[str, float]


def allow_open_files(wanted: int) -> None:
    """Raise the soft limit on open files, which the servers and groups inherit.

    Raises:
        SystemExit: the hard limit is lower.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise SystemExit(f"{wanted} open files are needed, and the hard limit is {hard}: ulimit -n")
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def measure(agents: int, down_s: float = 0.0) -> Figures:
    """Start the agents, let them rest, kill NATS and start it again after ``down_s`` seconds."""
    allow_open_files(agents + _SPARE_FILES)  # the server has a socket for each
    with running_stack(AUDIENCE) as stack:
        return asyncio.run(_measure(stack, agents, down_s))


async def _measure(stack: Stack, agents: int, down_s: float) -> Figures:
    async with group_processes(PROCESSES, stack.service_file(AUDIENCE)) as groups:
        await ask_all(groups, "states")  # the interpreters have started
        empty = _rss_mb(groups)
        began = time.monotonic_ns()
        shares = [len(range(index, agents, PROCESSES)) for index in range(PROCESSES)]
        started = await asyncio.gather(
            *(group.ask("agents", count=share) for group, share in zip(groups, shares, strict=True))
        )
        start_s = (max(answer["at"] for answer in started) - began) / 1e9
        await asyncio.sleep(_SETTLE_S)
        rss, cpu = _rss_mb(groups), await _cpu_at_rest(groups)
        return {
            "storm_agents": agents,
            "storm_start_s": start_s,
            "storm_rss_mb": rss,
            "storm_rss_kb_per_agent": (rss - empty) / agents * 1e3,
            "storm_cpu_at_rest_pct": cpu,
            **await _restart(stack, groups, down_s),
        }


def _rss_mb(groups: Sequence[GroupProcess]) -> float:
    return sum(group.rss_mb() for group in groups)


async def _cpu_at_rest(groups: Sequence[GroupProcess]) -> float:
    """Percent of one core, of all groups together."""
    used, began = sum(group.cpu_s() for group in groups), time.monotonic()
    await asyncio.sleep(REST_S)
    return (sum(group.cpu_s() for group in groups) - used) / (time.monotonic() - began) * 100


async def _restart(stack: Stack, groups: list[GroupProcess], down_s: float) -> Figures:
    # The issuer is another process, so that blocking this one's loop delays nobody.
    stack.nats.kill()
    killed, killed_lease = time.monotonic_ns(), lease_clock()
    used = sum(group.cpu_s() for group in groups)
    await asyncio.sleep(down_s)
    stack.nats.start()
    up = time.monotonic_ns()
    answers = await ask_all(groups, "renewed", after=killed_lease)
    times = sorted(when for answer in answers for when in answer["at"])
    states = await ask_all(groups, "states")
    return {
        "storm_down_s": (up - killed) / 1e9,
        "storm_half_live_s": (times[len(times) // 2] - killed) / 1e9,
        "storm_live_s": (times[-1] - killed) / 1e9,
        "storm_cpu_s": sum(group.cpu_s() for group in groups) - used,
        "storm_live_agents": sum(answer["live"] for answer in states),
        "storm_asked_for_time": sum(answer["asked"] for answer in states),
    }
