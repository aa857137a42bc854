"""Waiting for an agent to reject a token."""

from __future__ import annotations

import asyncio
import time

from tocsin_schemas.errors import TokenRejected
from tocsin_verifier_agent import VerifierAgent


async def rejected(agent: VerifierAgent, token: str) -> str:
    """The code with which the agent comes to reject the token."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        try:
            agent.verify(token)
        except TokenRejected as error:
            return error.code
        await asyncio.sleep(0.005)
    return "accepted"
