"""Where an agent's ledger and its time come from: NATS and the machine's clocks, in production."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from tocsin_revocation_bus import clocks
from tocsin_revocation_bus.core.replica import Status


class Clocks(NamedTuple):
    """``lease`` returns nanoseconds of the clock that leases are counted on, ``wall`` seconds of
    UTC. ``quick``, in seconds, costs less to read than ``lease``; see :class:`TokenVerifier`. It is
    None where there is none.
    """

    lease: Callable[[], int] = clocks.lease_clock
    wall: Callable[[], float] = clocks.wall_clock
    quick: Callable[[], float] | None = None


OF_THIS_MACHINE = Clocks(quick=clocks.quick_clock)


class Feed(Protocol):
    """Keeps an agent's replica at the head of the ledger; the Follower does it over NATS."""

    async def start(self) -> None:
        """Start in the running event loop; return at once."""
        ...

    async def stop(self) -> None:
        """Stop; the replica keeps what it has."""
        ...

    async def wait_live(self, timeout: float) -> bool:
        """Wait until the replica is live; ``timeout`` in seconds."""
        ...

    def status(self) -> Status:
        """The replica's state and its reason."""
        ...
