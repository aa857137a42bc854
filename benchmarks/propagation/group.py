"""A process full of agents, or of bare subscribers: `python -m benchmarks.propagation.group FILE`.

It reads commands from its standard input and answers each on its standard output, one JSON object
a line. Each agent is a whole `VerifierAgent` with a connection of its own; nothing is shared.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from tocsin_revocation_bus.core.replica import AgentState, Outcome
from tocsin_schemas.errors import TokenRejected
from tocsin_verifier_agent import VerifierAgent

RAW_SUBJECT = "bench.raw"
START_TIMEOUT_S = 90.0
_LOOK_S = 0.01

Answer = dict[str, Any]


class Group:
    """The members of this process, and the time at which each came to know."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._agents: list[VerifierAgent] = []
        self._bare: list[Client] = []
        self._tokens: list[str] = []
        self._known: dict[int, list[int]] = {}
        self._told = asyncio.Event()
        self._asked = 0
        self.commands: dict[str, Callable[..., Awaitable[Answer]]] = {
            "agents": self.start_agents,
            "bare": self.start_bare,
            "tokens": self.take_tokens,
            "last": self.last_to_know,
            "renewed": self.renewed,
            "states": self.states,
            "stop": self.stop,
        }

    async def start_agents(self, count: int) -> Answer:
        """Have ``count`` agents, all live."""
        new = [
            VerifierAgent.from_file(self._file) for _ in range(max(0, count - len(self._agents)))
        ]
        live = await asyncio.gather(*(agent.run_in_loop(START_TIMEOUT_S) for agent in new))
        if not all(live):
            raise SystemExit(f"{live.count(False)} agents are not live")
        for agent in new:
            self._watch(agent)
        self._agents += new
        return {"at": time.monotonic_ns()}

    def _watch(self, agent: VerifierAgent) -> None:
        """Note when the agent refuses the token that its newest record revokes."""
        apply, replica, token = agent.replica.apply_record, agent.replica, len(self._tokens)

        def applied(text: str, now: int, wall: float) -> Outcome:
            nonlocal token
            outcome = apply(text, now, wall)
            if token < len(self._tokens):
                try:
                    agent.verify(self._tokens[token])
                except TokenRejected:
                    self._note(token)
                    token += 1
            return outcome

        vars(replica)["apply_record"] = applied
        sync_sent = replica.sync_sent

        def asked(nonce: str, now: int) -> None:
            self._asked += 1
            sync_sent(nonce, now)

        vars(replica)["sync_sent"] = asked

    def _note(self, number: int) -> None:
        self._known.setdefault(number, []).append(time.monotonic_ns())
        self._told.set()

    async def start_bare(self, count: int, server: str, credentials: str) -> Answer:
        """Have ``count`` subscribers, of the NATS library as it comes, that do nothing but look at
        the clock.
        """

        async def heard(message: Msg) -> None:
            self._note(int(message.data[:8]))

        while len(self._bare) < count:
            client = await nats.connect(server, nkeys_seed=credentials)
            await client.subscribe(RAW_SUBJECT, cb=heard)
            await client.flush()
            await client.flush()  # the first is written ahead of the subscription
            self._bare.append(client)
        return {}

    async def take_tokens(self, tokens: Sequence[str]) -> Answer:
        """Let every agent accept every token once, as it would in a service."""
        for agent in self._agents:
            for token in tokens:
                agent.verify(token)
        self._tokens += tokens
        return {"accepted": len(tokens) * len(self._agents)}

    async def last_to_know(self, number: int) -> Answer:
        """When the last member of this process came to know of a round."""
        members = len(self._agents) + len(self._bare)
        async with asyncio.timeout(START_TIMEOUT_S):
            while len(self._known.get(number, ())) < members:
                self._told.clear()
                await self._told.wait()
        return {"last": max(self._known.pop(number, ()), default=0)}

    async def renewed(self, after: int) -> Answer:
        """When each agent's proof had come to lie after ``after``, on the lease clock."""
        waiting, times = list(self._agents), list[int]()
        async with asyncio.timeout(START_TIMEOUT_S):
            while waiting:
                now = time.monotonic_ns()
                still = [agent for agent in waiting if not _proven_after(agent, after)]
                times += [now] * (len(waiting) - len(still))
                waiting = still
                await asyncio.sleep(_LOOK_S)
        return {"at": times}

    async def states(self) -> Answer:
        """How many agents are live, and how often they have asked for the time since last time."""
        asked, self._asked = self._asked, 0
        live = sum(agent.status().state is AgentState.LIVE for agent in self._agents)
        return {"live": live, "asked": asked}

    async def stop(self) -> Answer:
        """Close every connection."""
        await asyncio.gather(*(agent.leave_loop() for agent in self._agents))
        await asyncio.gather(*(client.close() for client in self._bare))
        return {}


def _proven_after(agent: VerifierAgent, after: int) -> bool:
    proven = agent.replica.lease.proven_at
    return proven is not None and proven > after and agent.status().state is AgentState.LIVE


async def main(file: Path) -> None:
    """Answer commands until told to stop, or until the parent is gone."""
    group, loop = Group(file), asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        command, arguments = json.loads(line)
        answer = await group.commands[command](**arguments)
        print(json.dumps(answer), flush=True)
        if command == "stop":
            return


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main(Path(sys.argv[1])))
