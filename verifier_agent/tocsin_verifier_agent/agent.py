"""The verifier agent: a replica kept at the ledger's head, and a token verifier on top of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from tocsin_revocation_bus.clocks import lease_clock, wall_clock
from tocsin_revocation_bus.core.replica import Replica, Status
from tocsin_revocation_bus.core.trust import PinnedRoots
from tocsin_revocation_bus.jetstream.connection import BusAddress
from tocsin_revocation_bus.jetstream.follower import Follower
from tocsin_verifier_agent import agent_file
from tocsin_verifier_agent.core.authority import LedgerAuthority
from tocsin_verifier_agent.core.token_cache import TokenCache
from tocsin_verifier_agent.core.token_verifier import TokenVerifier
from tocsin_verifier_agent.core.verified import Verified

START_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """What an agent needs; :func:`VerifierAgent.from_file` reads it from a `.tocsin` file."""

    issuer: str
    audiences: frozenset[str]
    pinned: PinnedRoots
    address: BusAddress
    max_lease_ms: int | None = None
    name: str = "tocsin-agent"
    on_change: Callable[[Status], None] | None = field(default=None, compare=False)


class VerifierAgent:
    """Verifies tokens in microseconds; raises :class:`AgentStale` when it cannot prove itself.

    In an asynchronous service: ``async with agent: …``. In a synchronous one: ``agent.start()``
    runs it on a thread of its own until ``agent.stop()``. Either way ``verify`` is synchronous and
    may be called from any thread. Start it after a fork, never before.
    """

    def __init__(self, config: AgentConfig) -> None:
        self._config = config
        self._replica = Replica(config.issuer, config.pinned, max_lease_ms=config.max_lease_ms)
        self._verifier = TokenVerifier(
            LedgerAuthority(self._replica),
            issuer=config.issuer,
            audiences=config.audiences,
            lease_clock=lease_clock,
            wall_clock=wall_clock,
            cache=TokenCache(threading.Lock()),
        )
        self._follower: Follower | None = None
        self._thread: threading.Thread | None = None
        self._stop: Callable[[], object] | None = None

    @classmethod
    def from_file(cls, path: str | Path | None = None) -> VerifierAgent:
        """Build one from a `.tocsin` file, by default the one that ``TOCSIN_FILE`` names.

        Raises:
            ConfigurationError: the file is missing, open to others, or wrong.
        """
        where = agent_file.path_from_environment() if path is None else Path(path)
        parsed = agent_file.read(where)
        return cls(
            AgentConfig(
                issuer=parsed.issuer,
                audiences=frozenset(parsed.audiences),
                pinned=parsed.pinned(),
                address=parsed.address(where.parent),
                max_lease_ms=parsed.policy.max_lease_ms,
                name=f"agent of {parsed.audiences[0]}",
            )
        )

    # --- verifying ------------------------------------------------------------------------------

    def verify(self, token: str, max_staleness: float | None = None) -> Verified:
        """Accept a token, or say why not. No network call, no lock.

        Args:
            token: the compact JWS from the Authorization header.
            max_staleness: seconds; the proof of being up to date must not be older. A route that
                moves money may demand less than the fleet's lease.

        Raises:
            TokenRejected: it must not be accepted (401).
            AgentStale: the agent cannot say (503).
        """
        limit = None if max_staleness is None else max(0, int(max_staleness * 1e9))
        return self._verifier.verify(token, limit)

    def status(self) -> Status:
        """The agent's state and its one reason."""
        if self._follower is not None:
            return self._follower.status()
        return self._replica.status(lease_clock(), wall_clock())

    def describe(self) -> dict[str, object]:
        """State, reason, head and rules as JSON members, for a readiness page or a person.

        Staleness does not make a service unready: it answers 503 by itself, and a restart would
        not help.
        """
        status, head = self.status(), self._replica.head
        return {
            "state": status.state.value,
            "reason": status.reason,
            "head": None if head is None else {"term": head.term, "n": head.n, "hash": head.hash},
            "state_hash": self._replica.state.hash(),
            "rules": self._replica.state.counts(),
        }

    @property
    def replica(self) -> Replica:
        """The agent's copy of the ledger, to look at."""
        return self._replica

    # --- life, in an event loop -----------------------------------------------------------------

    async def __aenter__(self) -> VerifierAgent:
        await self.run_in_loop()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.leave_loop()

    async def run_in_loop(self, timeout: float = START_TIMEOUT_S) -> bool:
        """Start in the running event loop; return whether it is live within ``timeout`` seconds.

        It goes on trying in any case, and answers with :class:`AgentStale` meanwhile.
        """
        if self._follower is not None:
            raise RuntimeError("the agent is running already")
        self._follower = Follower(
            self._replica,
            self._config.address,
            name=self._config.name,
            on_change=self._config.on_change,
        )
        await self._follower.start()
        return await self._follower.wait_live(timeout)

    async def leave_loop(self) -> None:
        """Stop; the lease then lapses by itself."""
        if self._follower is not None:
            follower, self._follower = self._follower, None
            await follower.stop()

    # --- life, with a thread of its own ---------------------------------------------------------

    def start(self, timeout: float = START_TIMEOUT_S) -> bool:
        """Start on a thread of its own; return whether it is live within ``timeout`` seconds."""
        if self._thread is not None:
            raise RuntimeError("the agent is running already")
        started: Future[bool] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._thread_main(started, timeout)),
            name=self._config.name,
            daemon=True,
        )
        self._thread.start()
        return started.result()

    async def _thread_main(self, started: Future[bool], timeout: float) -> None:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._stop = lambda: loop.call_soon_threadsafe(stopped.set)
        try:
            started.set_result(await self.run_in_loop(timeout))
            await stopped.wait()
        except BaseException as error:
            if not started.done():
                started.set_exception(error)
            raise
        finally:
            await self.leave_loop()

    def stop(self) -> None:
        """Stop the thread that :meth:`start` made."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if self._stop is not None:
            self._stop()
        thread.join()
