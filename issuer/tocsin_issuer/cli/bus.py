"""The bus as commands reach it: with a service's file, so with an agent's rights."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import typer
from nats.aio.client import Client

from tocsin_revocation_bus.jetstream.connection import connect
from tocsin_schemas.errors import ConfigurationError
from tocsin_verifier_agent.agent_file import AgentFile

_CONNECT_S = 10.0

ServiceFile = Annotated[
    Path, typer.Option("--file", envvar="TOCSIN_FILE", help="A .tocsin file: bus and pinned roots.")
]


@asynccontextmanager
async def connected(parsed: AgentFile, path: Path, name: str) -> AsyncIterator[Client]:
    """A connection with the file that was read from ``path``.

    Raises:
        ConfigurationError: ``bus_unavailable``.
    """
    try:
        async with asyncio.timeout(_CONNECT_S):
            client = await connect(parsed.address(path.parent), name=name)
    except TimeoutError:
        raise ConfigurationError("bus_unavailable", "NATS does not answer") from None
    try:
        yield client
    finally:
        await client.close()
