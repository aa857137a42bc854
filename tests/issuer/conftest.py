"""One Valkey for all tests of the store and of HTTP, emptied before each."""

from collections.abc import AsyncIterator, Iterator
from typing import Literal

import pytest
from argon2 import PasswordHasher
from redis.asyncio import Redis

from tocsin_issuer.embedded import EmbeddedValkey
from tocsin_issuer.store.connection import connect
from tocsin_issuer.store.outbox import Outbox


class CountingHasher(PasswordHasher):
    """argon2 at its cheapest, and how often it verified a password."""

    def __init__(self, time_cost: int = 1) -> None:
        super().__init__(time_cost=time_cost, memory_cost=8, parallelism=1)
        self.verified = 0

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
        self.verified += 1
        return super().verify(hash, password)


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey(tmp_path_factory.mktemp("valkey") / "data") as server:
        yield server


@pytest.fixture
async def redis(valkey: EmbeddedValkey) -> AsyncIterator[Redis]:
    client = connect(valkey.url)
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture
def outbox(redis: Redis) -> Outbox:
    return Outbox(redis)


@pytest.fixture
def hasher() -> CountingHasher:
    return CountingHasher()
