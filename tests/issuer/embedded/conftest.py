"""A real server for each test: they start in tens of milliseconds."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.issuer.embedded.bus import BusClient, connect
from tocsin_issuer.embedded import EmbeddedNats, EmbeddedValkey


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[EmbeddedNats]:
    with EmbeddedNats(tmp_path / "nats") as server:
        yield server


@pytest.fixture
def valkey_server(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey(tmp_path / "valkey") as server:
        yield server


@pytest.fixture
async def core(nats_server: EmbeddedNats) -> AsyncIterator[BusClient]:
    """A sequencer's connection, with the ledger declared."""
    client = await connect(nats_server, nats_server.core_credentials)
    await client.declare_ledger()
    yield client
    await client.connection.close()


@pytest.fixture
async def agent(nats_server: EmbeddedNats, core: BusClient) -> AsyncIterator[BusClient]:
    client = await connect(nats_server, nats_server.edge_credentials)
    yield client
    await client.connection.close()


@pytest.fixture
async def other_agent(nats_server: EmbeddedNats, core: BusClient) -> AsyncIterator[BusClient]:
    client = await connect(nats_server, nats_server.edge_credentials)
    yield client
    await client.connection.close()
