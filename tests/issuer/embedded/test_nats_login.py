"""Nobody gets in without a key that the server was given."""

from __future__ import annotations

import pytest
from nats.errors import Error as NatsError

from tests.issuer.embedded.bus import connect
from tocsin_issuer.embedded import EmbeddedNats


async def test_connect_without_credentials(nats_server: EmbeddedNats) -> None:
    with pytest.raises(NatsError, match=r"(?i)authorization violation"):
        await connect(nats_server, None, persistent=False)


async def test_connect_with_a_key_that_the_server_does_not_know(
    nats_server: EmbeddedNats, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with EmbeddedNats(tmp_path_factory.mktemp("foreign")) as foreign:
        stranger = foreign.core_credentials
        with pytest.raises(NatsError, match=r"(?i)authorization violation"):
            await connect(nats_server, stranger, persistent=False)


async def test_the_two_users_have_keys_of_their_own(nats_server: EmbeddedNats) -> None:
    assert nats_server.core_credentials.read_text() != nats_server.edge_credentials.read_text()
