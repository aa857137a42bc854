"""What one candidate has committed, and how long that had to wait."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from tocsin_schemas.events import KIND_OF, Event

BOUNDS_S: Final = (
    *(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 120.0),
)


class CommitMeter:
    """``records`` and ``events`` (by kind) since the process began; ``waits`` says how many outbox
    entries waited no longer than each of ``BOUNDS_S`` and longer than the one before it, the last
    one how many waited longer than all; ``waited_s`` is the sum.
    """

    def __init__(self) -> None:
        self.records = 0
        self.events: Counter[str] = Counter()
        self.waits = [0] * (len(BOUNDS_S) + 1)
        self.waited_s = 0.0

    def count(self, entry_ids: Iterable[str], events: Sequence[Event], wall: float) -> None:
        """A record has its PubAck at ``wall``, in seconds of UTC.

        An entry was accepted at the time in its id, by the clock of Redis, whose difference from
        ours is in every wait. One record carries thousands of entries, so those of one millisecond
        are counted together.
        """
        self.records += 1
        for kind, number in Counter(map(type, events)).items():
            self.events[KIND_OF[kind]] += number
        accepted = Counter([entry_id.partition("-")[0] for entry_id in entry_ids])
        for milliseconds, number in accepted.items():
            wait_s = max(0.0, wall - int(milliseconds) / 1000)
            self.waits[bisect_left(BOUNDS_S, wait_s)] += number
            self.waited_s += number * wait_s
