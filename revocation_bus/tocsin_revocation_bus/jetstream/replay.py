"""Replays the ledger from its first record, for audit: same machine, same checks as an agent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from nats.aio.client import Client

from tocsin_revocation_bus.clocks import lease_clock, wall_clock
from tocsin_revocation_bus.core.replica import Outcome, Replica
from tocsin_revocation_bus.jetstream.direct_get import read_all
from tocsin_schemas import record
from tocsin_schemas.record import Record


@dataclass(frozen=True, slots=True)
class Replayed:
    """A record that was applied, and where it lay in the stream."""

    seq: int
    record: Record


async def replay(client: Client, replica: Replica, seq: int = 1) -> AsyncIterator[Replayed]:
    """Apply the whole ledger to a fresh replica, record by record; or to one that has been here
    before, from the sequence ``seq`` on.

    What is not a record of the chain is counted in ``replica.noise``. A halted replica applies
    nothing but a record that opens a term on its head; at the end its reason is in
    ``replica.halted``.

    Raises:
        ReadFailed: the stream could not be read to its end.
    """
    async for message in read_all(client, seq):
        now, wall = lease_clock(), wall_clock()
        if message.is_heartbeat:
            replica.apply_heartbeat(message.text, now, wall)
            continue
        outcome = replica.apply_record(message.text, now, wall)
        if outcome is Outcome.APPLIED:
            yield Replayed(message.seq, record.parse_unverified(message.text))
