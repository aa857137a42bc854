"""`tocsin issuer run` on a machine whose wall clock is wrong by ``TEST_CLOCK_SHIFT_S`` seconds."""

from __future__ import annotations

import os
import sys
import time

_SHIFT_S = float(os.environ["TEST_CLOCK_SHIFT_S"])
_right = time.time


def _shifted() -> float:
    return _right() + _SHIFT_S


time.time = _shifted  # before anything of ours has taken it for itself

if __name__ == "__main__":
    from tocsin_issuer.cli.app import main
    from tocsin_revocation_bus.clocks import wall_clock

    if wall_clock is not _shifted:
        sys.exit("the wall clock was read before it was shifted")
    main()
