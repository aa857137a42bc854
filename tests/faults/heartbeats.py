"""Who is active, by the heartbeats that are heard."""

from __future__ import annotations

import asyncio

from tocsin_schemas import base64url, strict_json

Heard = list[tuple[float, str]]


def clock_of(beat: str) -> str:
    """Whose heartbeat it is: each process draws the name of its clock."""
    payload = base64url.decode(beat.split(".")[1])
    return str(strict_json.loads_object(payload)["clock_id"])


async def first_from_another(heard: Heard, *clocks: str, within_s: float) -> float:
    """When the first heartbeat came that none of these processes signed."""
    async with asyncio.timeout(within_s + 10):
        while True:
            for at, beat in heard:
                if clock_of(beat) not in clocks:
                    return at
            await asyncio.sleep(0.01)


async def active_clock(heard: Heard) -> str:
    """The clock of the process that is active now."""
    before = len(heard)
    async with asyncio.timeout(10):
        while len(heard) < before + 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return clock_of(heard[-1][1])
