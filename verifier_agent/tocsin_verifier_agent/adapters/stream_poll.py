"""Long streams of a server that gives each a thread: one more thread looks at their tokens."""

from __future__ import annotations

import threading
from typing import Protocol

from tocsin_schemas.errors import AgentStale, TokenRejected
from tocsin_verifier_agent.adapters import bearer
from tocsin_verifier_agent.adapters.bearer import Refused
from tocsin_verifier_agent.adapters.presented import Presented

LOOK_EVERY_S = 0.25


class Cancellable(Protocol):
    """A call that another thread may look at and end."""

    def is_active(self) -> bool:
        """Whether anybody still waits for it."""
        ...

    def cancel(self) -> object:
        """End it."""
        ...


class Polled:
    """One stream, its token, and why that is refused."""

    def __init__(self, presented: Presented, call: Cancellable) -> None:
        self.presented = presented
        self.call = call
        self.refusal: TokenRejected | AgentStale | None = None

    def check(self) -> None:
        """In the stream's own thread: may it go on?

        Raises:
            Refused: no.
        """
        if self.refusal is not None:
            raise Refused(bearer.refusal_of(self.refusal))


class StreamPoll:
    """Looks at every stream in turn; one that does not end by itself is cancelled a turn later."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._streams: set[Polled] = set()
        self._thread: threading.Thread | None = None

    def add(self, stream: Polled) -> None:
        """Look at a stream from now on; starts the thread where there is none."""
        with self._lock:
            self._streams.add(stream)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="tocsin-poll", daemon=True)
                self._thread.start()

    def discard(self, stream: Polled) -> None:
        """It has ended."""
        with self._lock:
            self._streams.discard(stream)

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(LOOK_EVERY_S):
            with self._lock:
                streams = tuple(self._streams)
                if not streams:
                    self._thread = None
                    return
            for stream in streams:
                self._look(stream)

    def _look(self, stream: Polled) -> None:
        if stream.refusal is None:
            stream.refusal = stream.presented.refused_now()
            if stream.call.is_active():
                return
        else:
            stream.call.cancel()
        self.discard(stream)
