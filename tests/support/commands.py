"""Revocation commands as another service sends them, with the bus user that agents have."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from secrets import token_urlsafe
from typing import Any

from tests.issuer.embedded.bus import BusClient, connect
from tests.support.stack import Stack
from tocsin_schemas.subjects import REVOCATION_COMMANDS

ANSWER_S = 10.0


@asynccontextmanager
async def edge(stack: Stack) -> AsyncIterator[BusClient]:
    client = await connect(stack.nats, stack.nats.edge_credentials)
    try:
        yield client
    finally:
        await client.connection.close()


async def ask(client: BusClient, body: bytes, token: str | None) -> dict[str, Any]:
    """Send bytes, and return the answer's members."""
    headers = None if token is None else {"authorization": f"Bearer {token}"}
    answer = await client.connection.request(
        REVOCATION_COMMANDS, body, timeout=ANSWER_S, headers=headers
    )
    members: dict[str, Any] = json.loads(answer.data)
    return members


def command(**members: Any) -> bytes:
    """A command with an id of its own."""
    return json.dumps({"id": token_urlsafe(16), **members}).encode()


async def send_command(stack: Stack, members: dict[str, Any], token: str) -> dict[str, Any]:
    """One command on a connection of its own."""
    async with edge(stack) as client:
        return await ask(client, command(**members), token)
