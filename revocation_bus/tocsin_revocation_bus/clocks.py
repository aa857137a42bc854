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

    def lease_clock() -> int:
        """Nanoseconds since some point before the process started."""
        read = time.clock_gettime_ns
        suspended = read(time.CLOCK_BOOTTIME) - read(time.CLOCK_MONOTONIC)
        return read(time.CLOCK_MONOTONIC_RAW) + suspended
else:
    lease_clock = time.monotonic_ns
