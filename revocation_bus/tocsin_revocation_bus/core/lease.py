"""The lease: how long an agent may go on accepting, worked out from the issuer's clock alone.

Both clocks run within rho of real time, and the agent read its own *before* the issuer read its,
so a heartbeat's time on the agent's clock can be bounded from below, whatever the network did. All
times are nanoseconds of a clock that counts suspend and is not slewed.
"""

from dataclasses import dataclass

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class ClockSync:
    """One exchange: ``sent`` on the agent's clock, then ``issuer_time0`` on the issuer's."""

    sent: int
    issuer_time0: int


def proven_at(sync: ClockSync, issuer_time: int, rho_ppm: int) -> int:
    """A time on the agent's clock at which the issuer's surely had not yet passed ``issuer_time``.

    A heartbeat younger than the sync is rounded down by 2 rho; one older than it is pushed back by
    3 rho: the sign that looks symmetrical breaks the bound.
    """
    difference = issuer_time - sync.issuer_time0
    if difference >= 0:
        return sync.sent + difference * (_MILLION - 2 * rho_ppm) // _MILLION
    return sync.sent + difference * (_MILLION + 3 * rho_ppm) // _MILLION


class Lease:
    """The newest proof that the agent was up to date, and the syncs it was made from."""

    MAX_CLOCKS = 8

    def __init__(self) -> None:
        self.proven_at: int | None = None
        self.rho_broken = 0
        self._syncs: dict[str, ClockSync] = {}

    def synced(self, clock_id: str, sync: ClockSync) -> None:
        """Keep the newest sync with each of the issuer's clocks."""
        known = self._syncs.pop(clock_id, None)
        if known is not None and known.sent > sync.sent:
            sync = known
        self._syncs[clock_id] = sync
        if len(self._syncs) > self.MAX_CLOCKS:
            del self._syncs[next(iter(self._syncs))]

    def knows(self, clock_id: str) -> bool:
        """Whether heartbeats on this clock can renew."""
        return clock_id in self._syncs

    def renew(self, clock_id: str, issuer_time: int, now: int, rho_ppm: int) -> bool:
        """Renew from a heartbeat whose head is the agent's own; the caller has checked that.

        Returns whether the lease moved. A proof from the future shows that a clock runs outside
        rho: sync and lease are dropped.
        """
        sync = self._syncs.get(clock_id)
        if sync is None:
            return False
        proof = proven_at(sync, issuer_time, rho_ppm)
        if proof > now:
            self.rho_broken += 1
            self.drop()
            return False
        if self.proven_at is not None and proof <= self.proven_at:
            return False
        self.proven_at = proof
        return True

    def drop(self) -> None:
        """Forget lease and syncs."""
        self.proven_at = None
        self._syncs.clear()
