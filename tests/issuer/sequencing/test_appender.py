"""What is in flight when its sequencer steps down."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.clock import NOW
from tests.support.ledger import LEDGER_KEY, pinned, publish, signed_keyset
from tests.support.tokens import ISSUER
from tocsin_issuer.core.sequencer import Sequencer
from tocsin_issuer.embedded import EmbeddedNats
from tocsin_issuer.sequencing.appender import Appender, SteppedDown
from tocsin_revocation_bus.core.replica import Replica
from tocsin_revocation_bus.jetstream.connection import BusAddress, connect
from tocsin_revocation_bus.jetstream.streams import declare_ledger, last_sequence


async def test_its_answer_is_for_nobody(tmp_path: Path) -> None:
    """The heartbeat's task is told so, and goes on; it must not end with the error of a machine
    that has been asked about nothing.
    """
    sequencer = Sequencer(ISSUER, LEDGER_KEY, Replica(ISSUER, pinned()), "clock-of-a-test")
    with EmbeddedNats(tmp_path) as nats:
        client = await connect(BusAddress((nats.url,), nats.core_credentials), name="test")
        try:
            await declare_ledger(client)
            assert sequencer.take_over(0, 0)
            text = sequencer.build([publish(signed_keyset())], "test", NOW)
            in_flight = asyncio.create_task(
                Appender(sequencer, client).append(sequencer.append_record(text))
            )
            await asyncio.sleep(0)  # it is sent, and not yet answered
            sequencer.step_down()
            with pytest.raises(SteppedDown) as caught:
                await in_flight
            assert caught.value.code == "nothing_in_flight"
            assert await last_sequence(client) == 1  # whoever takes over finds it
        finally:
            await client.close()
