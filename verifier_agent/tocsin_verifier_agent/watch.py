"""Tokens behind long-lived connections: whoever holds one is told when it is no longer good."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from tocsin_schemas.errors import AgentStale, TokenRejected
from tocsin_verifier_agent.core.verified import Verified

Refusal = TokenRejected | AgentStale


class _Watched:
    """One connection's token; ``valid_until`` is when it must be looked at again in any case."""

    def __init__(self, verify: Callable[[], Verified], refused: Callable[[Refusal], None]) -> None:
        self.verify = verify
        self.refused = refused
        self.valid_until = 0.0


class TokenWatch:
    """Looks at all watched tokens after each change of the state, and when their time is up."""

    def __init__(self, wall_clock: Callable[[], float]) -> None:
        self._wall_clock = wall_clock
        self._lock = threading.Lock()
        self._watched: set[_Watched] = set()

    async def until_refused(self, verify: Callable[[], Verified]) -> Refusal:
        """Return why ``verify`` refuses, as soon as it does. Any number may wait, on any loop."""
        loop = asyncio.get_running_loop()
        refusal: asyncio.Future[Refusal] = loop.create_future()

        def settle(found: Refusal) -> None:
            if not refusal.done():
                refusal.set_result(found)

        def refused(found: Refusal) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, found)

        watched = _Watched(verify, refused)
        with self._lock:
            self._watched.add(watched)
        try:
            _look(watched)
            return await refusal
        finally:
            with self._lock:
                self._watched.discard(watched)

    def sweep(self, *, changed: bool) -> None:
        """Look at all of them if the state has ``changed``, else at those whose time is up."""
        if not self._watched:
            return
        with self._lock:
            watched = tuple(self._watched)
        wall = self._wall_clock()
        for one in watched:
            if changed or wall >= one.valid_until:
                _look(one)


def _look(watched: _Watched) -> None:
    try:
        watched.valid_until = watched.verify().valid_until
    except (TokenRejected, AgentStale) as refusal:
        watched.refused(refusal)
