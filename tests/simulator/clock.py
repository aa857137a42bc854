"""Clocks that are wrong in the ways that the design allows, and in no other.

True time is nanoseconds since the world began. A lease clock runs within rho of it, from an offset
of its own; a wall clock is off by anything and jumps.
"""

from bisect import bisect_right

SECOND = 1_000_000_000
MILLISECOND = 1_000_000
NTP_SLEW_PPM = 601_000  # at most: a half by adjtimex's offset, a tenth by its tick, and a little
_MILLION = 1_000_000


class LeaseClock:
    """Piecewise linear in true time, so that a reading can be taken back to the moment it was."""

    def __init__(self, offset_ns: int, rate_ppm: int) -> None:
        self._since = [0]
        self._readings = [offset_ns]
        self._rates = [_MILLION + rate_ppm]

    def read(self, true_ns: int) -> int:
        """What the clock shows at ``true_ns``, which must not be before the last change of rate."""
        elapsed = true_ns - self._since[-1]
        return self._readings[-1] + elapsed * self._rates[-1] // _MILLION

    def change_rate(self, true_ns: int, rate_ppm: int) -> None:
        """Run at another rate from now on."""
        self._readings.append(self.read(true_ns))
        self._since.append(true_ns)
        self._rates.append(_MILLION + rate_ppm)

    def true_time_of(self, reading: int) -> int:
        """The first true time at which the clock shows ``reading`` (or would have, before 0)."""
        place = max(0, bisect_right(self._readings, reading) - 1)
        behind = reading - self._readings[place]
        return self._since[place] - (-behind * _MILLION // self._rates[place])


class WallClock:
    """Seconds of UTC, wrong by ``offset_s``."""

    def __init__(self, epoch_s: float, offset_s: float) -> None:
        self._epoch_s = epoch_s
        self.offset_s = offset_s

    def read(self, true_ns: int) -> float:
        """What the clock shows at ``true_ns``."""
        return self._epoch_s + true_ns / SECOND + self.offset_s
