"""Servers that have lost refreshes, and servers that were only started again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.issuer.store.conftest import ABSOLUTE_S, BOUND_S, IDLE_S, MAX_TOKEN_LIFE_S
from tocsin_issuer.embedded import EmbeddedValkey
from tocsin_issuer.store import names
from tocsin_issuer.store.connection import connect
from tocsin_issuer.store.lineage import LOST, PROMOTED, Lineage
from tocsin_issuer.store.outbox import Outbox
from tocsin_issuer.store.sessions import SessionStore
from tocsin_schemas.errors import RequestRejected


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey(tmp_path / "primary") as running:
        yield running


@asynccontextmanager
async def connected(server: EmbeddedValkey) -> AsyncIterator[Redis]:
    redis = connect(server.url)
    try:
        yield redis
    finally:
        await redis.aclose()


def session_store(redis: Redis) -> SessionStore:
    return SessionStore(
        redis,
        Outbox(redis),
        idle_s=IDLE_S,
        absolute_s=ABSOLUTE_S,
        max_token_life_s=MAX_TOKEN_LIFE_S,
    )


async def follow(replica: Redis, primary: EmbeddedValkey) -> None:
    """Make it a replica, and wait until it has what the primary has."""
    password = primary.password_file.read_text().strip()
    await replica.config_set("masterauth", password)
    await replica.slaveof("127.0.0.1", primary.port)
    link = ""
    async with asyncio.timeout(20):
        while link != "up":
            await asyncio.sleep(0.05)
            link = (await replica.info("replication"))["master_link_status"]


async def refresh(redis: Redis, token: str) -> str:
    return (await session_store(redis).refresh(token, bound_s=BOUND_S)).refresh_token


async def test_an_ordinary_restart_logs_nobody_out(server: EmbeddedValkey) -> None:
    async with connected(server) as redis:
        lineage, sessions = Lineage(redis), session_store(redis)
        token = (await sessions.create("alice", "app", ["orders"])).refresh_token
        before = await lineage.look(0)
        assert before.why == ""
        token = await refresh(redis, token)
        for end in (server.kill, server.stop):
            end()
            server.start()
            look = await lineage.look(1)
            assert (look.why, look.refreshes) == ("", 1)
            assert look.server != before.server
        await refresh(redis, token)


async def test_a_replica_that_is_promoted_ends_every_family_once(
    server: EmbeddedValkey, tmp_path: Path
) -> None:
    """Whether it has lost a refresh nobody knows. Who looks again, or first of another process,
    ends nothing more.
    """
    with EmbeddedValkey(tmp_path / "replica") as standby:
        async with connected(server) as primary, connected(standby) as replica:
            await Lineage(primary).look(0)
            session = await session_store(primary).create("alice", "app", ["orders"])
            await follow(replica, server)
            assert await replica.exists(names.SESSION + session.sid)
            server.kill()
            await replica.slaveof()
            assert (await Lineage(replica).look(0)).why == PROMOTED
            with pytest.raises(RequestRejected, match="not valid"):
                await refresh(replica, session.refresh_token)
            anew = await session_store(replica).create("alice", "app", ["orders"])
            assert (await Lineage(replica).look(0)).why == ""
            await refresh(replica, anew.refresh_token)


async def test_fewer_refreshes_than_were_seen_end_every_family_once(server: EmbeddedValkey) -> None:
    async with connected(server) as redis:
        token = (await session_store(redis).create("alice", "app", ["orders"])).refresh_token
        await refresh(redis, token)
        assert (await Lineage(redis).look(1)).why == ""
        assert (await Lineage(redis).look(3)).why == LOST
        assert (await Lineage(redis).look(3)).why == ""
        with pytest.raises(RequestRejected, match="not valid"):
            await refresh(redis, token)
