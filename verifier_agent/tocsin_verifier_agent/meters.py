"""What an agent counts. Accepted tokens are not among it: that path has no time for it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Literal

Meter = Literal["rejected", "stale", "accepted_unproven", "would_deny", "introspected"]


class Meters:
    """Counts by meter and by stable code; from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[Meter, Counter[str]] = {
            "rejected": Counter(),
            "stale": Counter(),
            "accepted_unproven": Counter(),
            "would_deny": Counter(),
            "introspected": Counter(),
        }

    def count(self, meter: Meter, code: str) -> None:
        """One more."""
        with self._lock:
            self._counts[meter][code] += 1

    def snapshot(self) -> Mapping[Meter, Mapping[str, int]]:
        """All counts, as they stand."""
        with self._lock:
            return {meter: dict(counter) for meter, counter in self._counts.items()}
