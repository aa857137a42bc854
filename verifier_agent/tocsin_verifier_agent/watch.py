"""Tokens behind long-lived connections: whoever holds one is told when it is no longer good."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress

from tocsin_schemas.errors import AgentStale, TokenRejected
from tocsin_verifier_agent.core.verified import Verified
from tocsin_verifier_agent.feed import Clocks

Refusal = TokenRejected | AgentStale
_log = logging.getLogger("tocsin.agent")


class _Watched:
    """One connection's token; ``due`` is when to look again in any case, on the lease clock."""

    __slots__ = ("due", "refused", "verify")

    def __init__(self, verify: Callable[[], Verified], refused: Callable[[Refusal], None]) -> None:
        self.verify = verify
        self.refused = refused
        self.due = 0


class TokenWatch:
    """Looks at all watched tokens after each change of the state, and when their time is up.

    That is counted on the lease clock: a wall clock that is set back must not make a connection
    outlive the lease.
    """

    def __init__(self, clocks: Clocks) -> None:
        self._clocks = clocks
        self._lock = threading.Lock()
        self._watched: set[_Watched] = set()
        self._sweeps_on: asyncio.AbstractEventLoop | None = None
        self._wanted = asyncio.Event()

    def __len__(self) -> int:
        return len(self._watched)

    async def until_refused(self, verify: Callable[[], Verified]) -> Refusal:
        """Return why ``verify`` refuses, as soon as it does. Any number may wait, on any loop."""
        loop = asyncio.get_running_loop()
        refusal: asyncio.Future[Refusal] = loop.create_future()

        def settle(found: Refusal) -> None:
            if not refusal.done():
                refusal.set_result(found)

        def refused(found: Refusal) -> None:
            with suppress(RuntimeError):  # that loop is closed, and nobody waits on it
                loop.call_soon_threadsafe(settle, found)

        watched = _Watched(verify, refused)
        if not self._add(watched):
            return AgentStale("not_running")
        try:
            self._look(watched)
            return await refusal
        finally:
            self._discard(watched)

    def sweep(self, *, changed: bool) -> None:
        """Look at all of them if the state has ``changed``, else at those whose time is up."""
        if not self._watched:
            return
        with self._lock:
            watched = tuple(self._watched)
        now = self._clocks.lease()
        for one in watched:
            if changed or now >= one.due:
                self._look(one)

    def open(self) -> None:
        """From now on :meth:`sweep` is called every now and then, in the running event loop."""
        with self._lock:
            self._sweeps_on = asyncio.get_running_loop()
            self._wanted = asyncio.Event()  # one belongs to the loop that first waits for it

    async def wanted(self) -> None:
        """Wait until there is something to look at; thousands of agents may share a machine."""
        while not self._watched:
            self._wanted.clear()
            await self._wanted.wait()

    def close(self) -> None:
        """Refuse all, now and from now on: nobody looks at them any more."""
        with self._lock:
            self._sweeps_on = None
            watched, self._watched = self._watched, set()
        for one in watched:
            one.refused(AgentStale("not_running"))

    def _add(self, watched: _Watched) -> bool:
        with self._lock:
            if self._sweeps_on is None:
                return False
            self._watched.add(watched)  # before that loop can look
            try:
                self._sweeps_on.call_soon_threadsafe(self._wanted.set)
            except RuntimeError:  # it is closed, and nobody called close() before
                self._watched.discard(watched)
                return False
            return True

    def _look(self, watched: _Watched) -> None:
        """No fault of one may keep the others from being looked at."""
        wall = self._clocks.wall()
        try:
            left_s = watched.verify().valid_until - wall
        except (TokenRejected, AgentStale) as refusal:
            self._refuse(watched, refusal.with_traceback(None))
        except Exception as error:
            _log.error("a connection cannot be watched: %s", type(error).__name__)
            self._refuse(watched, AgentStale("unwatched"))
        else:
            watched.due = self._clocks.lease() + int(left_s * 1e9)

    def _refuse(self, watched: _Watched, refusal: Refusal) -> None:
        self._discard(watched)
        watched.refused(refusal)

    def _discard(self, watched: _Watched) -> None:
        with self._lock:
            self._watched.discard(watched)
