"""What was acknowledged is there after kill -9, for clients that never noticed more than a gap."""

from __future__ import annotations

import asyncio
from pathlib import Path

from redis import Redis

from tests.issuer.embedded.bus import BusClient
from tocsin_issuer.embedded import EmbeddedNats, EmbeddedValkey


async def test_acknowledged_records_survive_kill_9(
    nats_server: EmbeddedNats, core: BusClient, agent: BusClient
) -> None:
    records = [b"record %d" % n for n in range(20)]
    for record in records:
        await core.append("tick", record)
    url = nats_server.url
    nats_server.kill()
    nats_server.restart()
    assert nats_server.url == url
    async with asyncio.timeout(10):  # the same connections find their way back
        await core.reconnected.wait()
        await agent.reconnected.wait()
    assert [message.data for message in await agent.read_ledger()] == records
    assert await core.append("tick", b"the next") == 21


def test_acknowledged_writes_survive_kill_9(valkey_server: EmbeddedValkey) -> None:
    with Redis.from_url(valkey_server.url) as client:
        for n in range(50):
            assert client.set(f"key:{n}", n)
        url = valkey_server.url
        valkey_server.kill()
        valkey_server.restart()
        assert valkey_server.url == url
        assert [client.get(f"key:{n}") for n in range(50)] == [b"%d" % n for n in range(50)]


def test_valkey_runs_with_the_settings_that_promise_it(valkey_server: EmbeddedValkey) -> None:
    wanted = {
        "appendonly": "yes",
        "appendfsync": "always",
        "no-appendfsync-on-rewrite": "no",
        "maxmemory-policy": "noeviction",
        "save": "",
        "bind": "127.0.0.1",
        "protected-mode": "yes",
    }
    with Redis.from_url(valkey_server.url, decode_responses=True) as client:
        settings = client.config_get(*wanted)
    assert settings == wanted


def test_the_ledger_is_synced_before_the_acknowledgement(nats_server: EmbeddedNats) -> None:
    config = (nats_server.data_dir.path / "nats-server.conf").read_text()
    assert 'sync_interval: "always"' in config


def test_credentials_and_password_are_kept(tmp_path: Path) -> None:
    with EmbeddedNats(tmp_path / "nats") as nats, EmbeddedValkey(tmp_path / "valkey") as valkey:
        files = [nats.core_credentials, nats.edge_credentials, valkey.password_file]
        before = [file.read_text() for file in files]
        nats.restart()
        valkey.restart()
        assert [file.read_text() for file in files] == before
