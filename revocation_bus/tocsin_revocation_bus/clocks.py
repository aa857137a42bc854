"""The clocks of this machine.

Leases are counted on CLOCK_MONOTONIC_RAW + (CLOCK_BOOTTIME − CLOCK_MONOTONIC): it counts suspend
and NTP does not slew it. Both halves exist on Linux only; elsewhere the nearest is
`time.monotonic`, which NTP may slew and which, on macOS, stops in suspend (`docs/architecture.md`
says what that costs).
"""

import sys
import time
from collections.abc import Callable

wall_clock: Callable[[], float] = time.time

if sys.platform == "linux":
    from time import CLOCK_BOOTTIME, CLOCK_MONOTONIC_RAW
    from time import clock_gettime_ns as _read
    from time import monotonic_ns as _read_monotonic  # CLOCK_MONOTONIC, for half the price

    def lease_clock() -> int:
        """Nanoseconds since some point before the process started."""
        suspended = _read(CLOCK_BOOTTIME) - _read_monotonic()
        return _read(CLOCK_MONOTONIC_RAW) + suspended
else:
    lease_clock = time.monotonic_ns
