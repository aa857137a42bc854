"""The last sequence outlives its heartbeat; a message that stands must have been read."""

import asyncio
from pathlib import Path

from tocsin_issuer.embedded import EmbeddedNats
from tocsin_issuer.sequencing.unread import holds_unread
from tocsin_revocation_bus.jetstream.connection import BusAddress, connect
from tocsin_revocation_bus.jetstream.streams import declare_ledger, last_sequence


async def test_what_has_expired_need_not_be_read(tmp_path: Path) -> None:
    with EmbeddedNats(tmp_path) as nats:
        client = await connect(BusAddress((nats.url,), nats.core_credentials), name="test")
        try:
            await declare_ledger(client)
            await client.request("tocsin.ledger.tick", b"a record")
            await client.request("tocsin.ledger.heartbeat", b"a", headers={"Nats-TTL": "1s"})
            assert await holds_unread(client, 1, 2)
            assert await holds_unread(client, 2, 2)
            assert not await holds_unread(client, 3, 2)
            async with asyncio.timeout(10):
                while await holds_unread(client, 2, 2):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            assert await last_sequence(client) == 2
            assert await holds_unread(client, 1, 2)
        finally:
            await client.close()
