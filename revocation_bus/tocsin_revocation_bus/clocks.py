"""The clocks of this machine.

Leases are counted on CLOCK_MONOTONIC_RAW + (CLOCK_BOOTTIME − CLOCK_MONOTONIC): it counts suspend
and NTP does not slew it. Both halves exist on Linux only; elsewhere the nearest is
`time.monotonic`, which NTP may slew and which, on macOS, stops in suspend (`docs/architecture.md`
says what that costs).

The quick clock costs a fraction of that to read. On Linux it counts suspend too, but NTP slews it:
it shows more than a third of what passes, whatever adjtimex(2) is told (``tick`` takes a tenth at
most, ``freq`` and a single shot 500 ppm each, and ``offset`` half a second in each second with PPS,
or an eighth without). Elsewhere it is the lease's clock in seconds.
"""

import sys
import time
from collections.abc import Callable
from functools import partial

wall_clock: Callable[[], float] = time.time

if sys.platform == "linux":
    from time import CLOCK_BOOTTIME, CLOCK_MONOTONIC_RAW
    from time import clock_gettime as _read_seconds
    from time import clock_gettime_ns as _read
    from time import monotonic_ns as _read_monotonic  # CLOCK_MONOTONIC, for half the price

    def lease_clock() -> int:
        """Nanoseconds since some point before the process started."""
        suspended = _read(CLOCK_BOOTTIME) - _read_monotonic()
        return _read(CLOCK_MONOTONIC_RAW) + suspended

    quick_clock: Callable[[], float] = partial(_read_seconds, CLOCK_BOOTTIME)  # in seconds
else:
    lease_clock = time.monotonic_ns
    quick_clock = time.monotonic
