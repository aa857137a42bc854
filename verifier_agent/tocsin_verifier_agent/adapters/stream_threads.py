"""Long streams of a server that gives each a thread: one more thread watches all their tokens."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from tocsin_schemas.errors import AgentStale, TokenRejected
from tocsin_verifier_agent.adapters import bearer
from tocsin_verifier_agent.adapters.bearer import Refused
from tocsin_verifier_agent.adapters.presented import Presented

CANCEL_AFTER_S = 0.25


class Cancellable(Protocol):
    """A call that another thread may end."""

    def cancel(self) -> object:
        """End it."""
        ...


class WatchedStream:
    """One stream, its token, and why that is refused."""

    def __init__(self, presented: Presented, call: Cancellable) -> None:
        self._presented = presented
        self._call = call
        self._refusal: TokenRejected | AgentStale | None = None

    def check(self) -> None:
        """In the stream's own thread: may it go on?

        Raises:
            Refused: no.
        """
        if self._refusal is not None:
            raise Refused(bearer.refusal_of(self._refusal))

    async def watch(self) -> None:
        """Return when the stream has been cancelled; first it may end by itself, with a status."""
        self._refusal = await self._presented.until_refused()
        await asyncio.sleep(CANCEL_AFTER_S)
        self._call.cancel()


class StreamThread:
    """An event loop, so that no stream waits until the others have been looked at.

    It lives as long as its process, for connections to a sidecar belong to their loop; a forked
    process gets another.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @contextmanager
    def watching(self, stream: WatchedStream) -> Iterator[WatchedStream]:
        """Watch a stream meanwhile."""
        watch = asyncio.run_coroutine_threadsafe(stream.watch(), self._running())
        try:
            yield stream
        finally:
            watch.cancel()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._thread is None or not self._thread.is_alive():
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="tocsin-streams", daemon=True
                )
                self._thread.start()
            return self._loop


STREAMS = StreamThread()
