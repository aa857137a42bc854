"""When a NATS server has dealt with all that a connection has sent."""

from __future__ import annotations

from nats.aio.client import Client


async def flushed(client: Client) -> None:
    """Return when it has.

    nats-py writes the PING of a flush ahead of what waits to be written, so that one answer proves
    nothing about it. By then it has been written, and a second PING goes behind it.
    """
    await client.flush()
    await client.flush()
