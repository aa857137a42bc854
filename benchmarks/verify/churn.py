"""The rules of a live verifier change a thousand times a second, while it is being measured.

A thread applies real records, signature and all, as a live agent's would. They are made beforehand:
a ledger that commits a thousand records a second would take the cores that are being measured.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.chain import Chain
from tocsin_revocation_bus.core.replica import Replica
from tocsin_schemas.events import RevokedSession, SessionsRevoked

PER_S = 1000


class Churn:
    """Records for so many seconds, and how many have been applied."""

    def __init__(self, chain: Chain, replica: Replica, seconds: float) -> None:
        until = int(time.time()) + 900
        self._replica = replica
        self._texts = [
            chain.record(
                [
                    SessionsRevoked(
                        id=f"e{number}",
                        reason="churn",
                        initiator="system",
                        sessions=(RevokedSession(f"churn-{number}", until),),
                    )
                ]
            )
            for number in range(int(seconds * PER_S))
        ]
        self._applied = 0
        self._ended = threading.Event()

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Apply them while this lasts.

        Raises:
            SystemExit: they ran out before it ended, or came too slowly: nothing was measured.
        """
        thread = threading.Thread(target=self._apply)
        began = time.perf_counter()
        thread.start()
        try:
            yield
            elapsed, alive = time.perf_counter() - began, thread.is_alive()
        finally:
            self._ended.set()
            thread.join()
        if not alive:
            raise SystemExit("the records ran out")
        self.per_s = self._applied / elapsed

    def _apply(self) -> None:
        due = time.perf_counter()
        for text in self._texts:
            self._replica.apply_record(text, 0, time.time())
            self._applied += 1
            due += 1 / PER_S
            if self._ended.wait(max(0.0, due - time.perf_counter())):
                return
