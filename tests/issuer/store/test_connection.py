"""Waits end: those that are cancelled at once, those for a silent server after a while."""

import asyncio
import random
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tocsin_issuer.embedded import EmbeddedValkey
from tocsin_issuer.store import connection
from tocsin_issuer.store.connection import connect
from tocsin_issuer.store.outbox import Outbox


async def test_a_cancelled_task_ends_wherever_it_is(redis: Redis, outbox: Outbox) -> None:
    """A sequencer or a request that goes on after its cancellation would never end."""

    async def run() -> None:
        while True:
            await outbox.read(10)

    chance = random.Random(7)
    for _ in range(100):
        task = asyncio.create_task(run())
        await asyncio.sleep(chance.random() * 0.003)
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        task.cancel()
        _, running = await asyncio.wait([task], timeout=10)
        assert not running
    assert await redis.ping()


async def test_a_silent_server_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_ANSWER_TIMEOUT_S", 0.2)
    with EmbeddedValkey(tmp_path / "valkey") as server:
        redis = connect(server.url)
        try:
            await redis.set("key", "value")
            server.pause()
            outbox = Outbox(redis)
            with pytest.raises(RedisTimeoutError):
                await outbox.read(1)
            assert not await outbox.committed("1-1", 0.3), "silence is neither yes nor no"
            server.resume()
            assert await redis.get("key") == "value"
            server.kill()
            with pytest.raises((RedisConnectionError, RedisTimeoutError)):
                await outbox.read(1)
            server.restart()
            assert await redis.get("key") == "value"
        finally:
            await redis.aclose()
