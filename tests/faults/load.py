"""Clients that keep logging out, at several issuers, and remember what they were told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tests.faults.issuer_process import IssuerProcess
from tests.faults.stack import Answer, Stack
from tocsin_revocation_bus.tasks import end

PATIENCE_S = 30.0


class Load:
    """``answers`` are what the clients were told, each with the token and its session."""

    def __init__(self) -> None:
        self.answers: list[tuple[Answer, str, str]] = []

    @property
    def promised(self) -> list[tuple[Answer, str, str]]:
        """Those that were answered 200 or 202."""
        return [one for one in self.answers if one[0].accepted]

    def promised_tokens(self) -> list[str]:
        """The tokens that no verifier may accept any more."""
        return [token for _, token, _ in self.promised]

    async def until_promised(self, more: int) -> None:
        """Wait for that many promises more."""
        wanted = len(self.promised) + more
        async with asyncio.timeout(PATIENCE_S):
            while len(self.promised) < wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def log_out(self, stack: Stack, issuers: Sequence[IssuerProcess], first: int) -> None:
        """One client: an issuer after the other, whether it is alive or not."""
        number = first
        while True:
            number += 1
            token, sid = stack.token()
            answer = await stack.log_out(issuers[number % len(issuers)], token)
            self.answers.append((answer, token, sid))
            await asyncio.sleep(0 if answer.status else 0.02)


@asynccontextmanager
async def logging_out(
    stack: Stack, issuers: Sequence[IssuerProcess], clients: int
) -> AsyncIterator[Load]:
    """Clients at work for as long as this lasts."""
    load = Load()
    tasks = [asyncio.create_task(load.log_out(stack, issuers, number)) for number in range(clients)]
    try:
        yield load
    finally:
        await end(*tasks)
