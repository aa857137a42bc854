"""What is in flight when its sequencer is to step down."""

from __future__ import annotations

import asyncio
from pathlib import Path

from redis.asyncio import Redis

from tests.support.clock import NOW
from tests.support.ledger import LEDGER_KEY, pinned, publish, signed_keyset
from tests.support.tokens import ISSUER
from tocsin_issuer.core.sequencer import Sequencer
from tocsin_issuer.embedded import EmbeddedNats
from tocsin_issuer.sequencing.appender import Appender
from tocsin_issuer.sequencing.committing import Committing
from tocsin_issuer.store.journal import Journal, JournalEntry
from tocsin_issuer.store.outbox import Outbox
from tocsin_revocation_bus.core.replica import Replica
from tocsin_revocation_bus.jetstream.connection import BusAddress, connect
from tocsin_revocation_bus.jetstream.streams import declare_ledger
from tocsin_schemas import record


async def test_it_arrives_before_the_sequencer_steps_down(
    tmp_path: Path, redis: Redis, outbox: Outbox
) -> None:
    """Else its answer would be for nobody, or for the message of a later takeover."""
    replica = Replica(ISSUER, pinned())
    sequencer = Sequencer(ISSUER, LEDGER_KEY, replica, "clock-of-a-test")
    with EmbeddedNats(tmp_path) as nats:
        client = await connect(BusAddress((nats.url,), nats.core_credentials), name="test")
        try:
            await declare_ledger(client)
            committing = Committing(
                sequencer=sequencer,
                replica=replica,
                appender=Appender(sequencer, client),
                outbox=outbox,
                journal=Journal(redis),
            )
            assert sequencer.take_over(0, 0)
            text = sequencer.build([publish(signed_keyset())], "test", NOW)
            parsed = record.parse_unverified(text)
            entry = JournalEntry(1, text, ())
            in_flight = asyncio.create_task(committing.append(entry, parsed))
            await asyncio.sleep(0)  # it is sent, and not yet answered
            await committing.step_down()
            assert replica.head is not None
            assert replica.head.hash == parsed.hash
            assert not sequencer.active
            await in_flight
        finally:
            await client.close()
