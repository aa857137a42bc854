"""How long after a PubAck the last of some agents denies the token, and bare subscribers hear.

Bare subscribers are clients of the NATS library as it comes. Agents and they have the same layout:
both are spread over two processes, bound to the cores in turn, with one connection each, to the
same server, and are sent messages of the same make: a record's length, and the headers that a
republished record has. Rounds of both take turns, so that what slows the machine slows both.
Agents' rounds fall where they will; rounds of bare subscribers keep clear of heartbeats, which a
server without agents would not have.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from statistics import median

from nats.aio.client import Client

from benchmarks.propagation.group import RAW_SUBJECT
from benchmarks.propagation.groups import GroupProcess, ask_all, group_processes
from benchmarks.propagation.issuer import Commit, MeasuredIssuer, measured_issuer
from benchmarks.tokens import mint
from tocsin_revocation_bus.jetstream.connection import BusAddress, connect
from tocsin_schemas.subjects import LEDGER_PREFIX, LEDGER_STREAM

PROCESSES = 2
_PAUSE_S = (0.02, 0.06)
# The sequencer's, and what JetStream adds when it republishes.
_HEADERS = {
    "Nats-Expected-Stream": LEDGER_STREAM,
    "Nats-Expected-Last-Sequence": "1234",
    "Nats-Msg-Id": "A" * 43,
    "Nats-Stream": LEDGER_STREAM,
    "Nats-Subject": LEDGER_PREFIX + "tokens-revoked",
    "Nats-Sequence": "1235",
    "Nats-Time-Stamp": "2026-01-01T00:00:00.123456789Z",
    "Nats-Last-Sequence": "1230",
}

Figures = dict[str, float]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * round(share * 1000) // 1000) - 1)]


class FanOut:
    """One issuer, the groups of agents and of bare subscribers, and a bare publisher."""

    def __init__(
        self,
        issuer: MeasuredIssuer,
        agents: list[GroupProcess],
        bare: list[GroupProcess],
        publisher: Client,
    ) -> None:
        self._issuer = issuer
        self._agents = agents
        self._bare = bare
        self._publisher = publisher
        self._record_size = 0
        self._raw_rounds = 0
        self._rounds = 0

    async def measure(self, size: int, rounds: int) -> Figures:
        """All figures for ``size`` agents beside ``size`` bare subscribers."""
        shares = [len(range(index, size, PROCESSES)) for index in range(PROCESSES)]
        for group, share in zip(self._agents, shares, strict=True):
            await group.ask("agents", count=share)
        server, seed = self._issuer.nats.url, str(self._issuer.nats.core_credentials)
        for group, share in zip(self._bare, shares, strict=True):
            await group.ask("bare", count=share, server=server, credentials=seed)
        tokens = mint(self._issuer.token_signer(), self._issuer.name, rounds)
        await ask_all(self._agents, "tokens", tokens=tokens)
        denied: list[float] = []
        whole: list[float] = []
        commits: list[float] = []
        raw: list[float] = []
        clear: list[float] = []
        for token in tokens:
            asked, commit, last = await self._revoke(token)
            denied.append((last - commit.acked) / 1e6)
            whole.append((last - commit.published) / 1e6)
            commits.append((commit.acked - asked) / 1e6)
            if not self._issuer.clock.beat_between(commit.published, last):
                clear.append(denied[-1])
            raw.append(await self._publish_raw())
        return {
            "commit_p50_ms": median(commits),
            "fanout_p50_ms": median(denied),
            "fanout_p99_ms": percentile(denied, 0.99),
            "fanout_clear_of_heartbeats_p99_ms": percentile(clear, 0.99),
            "publish_to_denial_p99_ms": percentile(whole, 0.99),
            "raw_p50_ms": median(raw),
            "raw_p99_ms": percentile(raw, 0.99),
            "fanout_over_raw": percentile(denied, 0.99) / percentile(raw, 0.99),
            "fanout_over_raw_p50": median(denied) / median(raw),
        }

    async def _revoke(self, token: str) -> tuple[int, Commit, int]:
        """When it was asked for, its record's commit, and when the last agent denied the token."""
        await asyncio.sleep(random.uniform(*_PAUSE_S))
        waiting = asyncio.ensure_future(self._last(self._agents, self._rounds))
        self._rounds += 1
        asked, commit = await self._issuer.revoke(token)
        self._record_size = commit.size
        last = await waiting
        await self._issuer.answered()
        return asked, commit, last

    async def _publish_raw(self) -> float:
        """Milliseconds from a core publish of a record's size to the last bare callback."""
        await asyncio.sleep(random.uniform(*_PAUSE_S))
        await self._issuer.clock.quiet()
        waiting = asyncio.ensure_future(self._last(self._bare, self._raw_rounds))
        await asyncio.sleep(0.005)  # the groups' side of the pipes
        body = b"%08d" % self._raw_rounds + b"." * (self._record_size - 8)
        self._raw_rounds += 1
        published = time.monotonic_ns()
        await self._publisher.publish(RAW_SUBJECT, body, headers=_HEADERS)
        return (await waiting - published) / 1e6

    @staticmethod
    async def _last(groups: list[GroupProcess], number: int) -> int:
        answers = await ask_all(groups, "last", number=number)
        return max(int(answer["last"]) for answer in answers)


async def measure(sizes: Sequence[int], rounds: int) -> dict[int, Figures]:
    """The figures for each of ``sizes``, which must rise, over so many rounds."""
    async with (
        measured_issuer() as issuer,
        group_processes(PROCESSES, issuer.service_file) as agents,
        group_processes(PROCESSES, issuer.service_file) as bare,
    ):
        address = BusAddress((issuer.nats.url,), issuer.nats.core_credentials)
        publisher = await connect(address, name="bare publisher")
        try:
            fan_out = FanOut(issuer, agents, bare, publisher)
            return {size: await fan_out.measure(size, rounds) for size in sizes}
        finally:
            await publisher.close()
