"""For how long the active sequencer has said nothing."""

from __future__ import annotations

from typing import Final

from tocsin_revocation_bus.clocks import lease_clock, wall_clock
from tocsin_revocation_bus.core.replica import Replica

CLOCKS_APART_S: Final = 5.0


class Silence:
    """Counted on our own clock from the last heartbeat that we have heard.

    Two machines' wall clocks need not agree: by them, an active sequencer whose clock is some
    seconds behind would be silent all the time, and one that died would go on talking. They serve
    only where the last heartbeat was signed long before this process was there to hear it.
    """

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._heard: tuple[str, int] | None = None
        self._heard_at = 0

    def seconds(self) -> float | None:
        """None where there has never been a heartbeat. To be asked often."""
        beat, now = self._replica.newest_beat(), lease_clock()
        if beat is None:
            return None
        if self._heard != (beat.clock_id, beat.issuer_time):
            self._heard, self._heard_at = (beat.clock_id, beat.issuer_time), now
        signed_s = wall_clock() - beat.utc / 1000 - CLOCKS_APART_S
        return max((now - self._heard_at) / 1e9, signed_s)
