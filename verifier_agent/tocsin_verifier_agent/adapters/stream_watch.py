"""Long streams of an asynchronous server: each ends as soon as its token is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable
from typing import Any

from tocsin_revocation_bus.tasks import end
from tocsin_schemas.errors import AgentStale, TokenRejected
from tocsin_verifier_agent.adapters import bearer
from tocsin_verifier_agent.adapters.bearer import Refused
from tocsin_verifier_agent.adapters.presented import Presented


class CutOff(Exception):
    """What a handler gets that goes on writing after its stream has been cut off."""


class Gate:
    """A handler's context, which lets nothing out once the token has been refused."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self.refusal: TokenRejected | AgentStale | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def write(self, message: Any) -> None:
        """Send a message to the client."""
        if self.refusal is not None:
            raise CutOff
        await self._context.write(message)


async def while_good(
    found: Presented, behaviour: Callable[[Any, Any], Any], request: Any, context: Any
) -> Any:
    """Let a handler run while its token is good; return what it returns.

    Raises:
        Refused: the token no longer is.
    """
    loop = asyncio.get_running_loop()
    gate, limit = Gate(context), asyncio.timeout(None)

    async def watch() -> None:
        gate.refusal = await found.until_refused()
        limit.reschedule(loop.time())

    response = None
    watching = asyncio.create_task(watch())
    try:
        async with limit:
            result = behaviour(request, gate)
            if isinstance(result, AsyncIterable):
                async for message in result:
                    await gate.write(message)
            else:
                response = await result
    except Exception:
        if gate.refusal is None:
            raise
    finally:
        await end(watching)
    if gate.refusal is not None:
        raise Refused(bearer.refusal_of(gate.refusal))
    return response
