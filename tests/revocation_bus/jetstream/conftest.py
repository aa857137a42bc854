"""A real server for each test, and an issuer on it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.revocation_bus.jetstream.issuer import TestIssuer, core_client
from tocsin_issuer.embedded import EmbeddedNats


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[EmbeddedNats]:
    with EmbeddedNats(tmp_path / "nats") as server:
        yield server


@pytest.fixture
async def issuer(nats_server: EmbeddedNats) -> AsyncIterator[TestIssuer]:
    client = await core_client(nats_server)
    issuer = TestIssuer(client, nats_server)
    await issuer.start()
    yield issuer
    await client.close()
