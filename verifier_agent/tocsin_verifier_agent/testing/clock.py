"""A clock that stands still until it is told to move."""

from __future__ import annotations

import time
from typing import Final

_SECOND_US: Final = 1_000_000  # any finer, and the last instant of a second rounds up as a float


class ManualClock:
    """Starts at the machine's time. Both its readings move together, as time does."""

    def __init__(self) -> None:
        self._utc_us = int(time.time()) * _SECOND_US
        self._passed_us = 0

    def wall(self) -> float:
        """Seconds of UTC."""
        return (self._utc_us + self._passed_us) / _SECOND_US

    def lease(self) -> int:
        """Nanoseconds since a moment that means nothing."""
        return (_SECOND_US + self._passed_us) * 1000

    def advance(self, seconds: float) -> None:
        """Let time pass, to the microsecond.

        Raises:
            ValueError: it does not pass backwards.
        """
        if not seconds >= 0:
            raise ValueError("time does not pass backwards")
        self._passed_us += round(seconds * _SECOND_US)

    def to_the_next_second(self) -> int:
        """Let time pass until the seconds of UTC are a whole number again; return it."""
        self._passed_us += _SECOND_US - (self._utc_us + self._passed_us) % _SECOND_US
        return (self._utc_us + self._passed_us) // _SECOND_US
