"""Clocks that stand still until they are told to move."""

from __future__ import annotations

from dataclasses import dataclass

NOW = 1_760_002_200  # seconds of UTC, half past an hour
LEASE_NOW = 5_000_000_000_000  # nanoseconds of the lease clock at that moment
SECOND = 1_000_000_000


@dataclass
class FixedClock:
    """``wall`` is seconds of UTC, ``lease`` nanoseconds of the lease clock."""

    wall: float = NOW
    lease: int = LEASE_NOW

    def utc(self) -> float:
        return self.wall

    def now(self) -> int:
        return self.lease

    def advance(self, seconds: float) -> None:
        self.wall += seconds
        self.lease += round(seconds * SECOND)
