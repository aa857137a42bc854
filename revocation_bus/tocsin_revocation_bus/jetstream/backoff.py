"""Pauses between attempts: longer each time, and different for everybody."""

import asyncio
import random

RETRY_S = (0.1, 5.0)  # first and longest pause after a failure


class Backoff:
    """Growing pauses with jitter, in seconds."""

    def __init__(self) -> None:
        self._next = RETRY_S[0]

    def reset(self) -> None:
        """Start over after a success."""
        self._next = RETRY_S[0]

    async def pause(self) -> None:
        """Wait a little longer than last time."""
        await asyncio.sleep(self._next * random.uniform(0.5, 1.0))  # noqa: S311 (jitter)
        self._next = min(self._next * 2, RETRY_S[1])
