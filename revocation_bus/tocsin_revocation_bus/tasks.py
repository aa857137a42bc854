"""Ending background tasks for certain."""

import asyncio
from typing import Any

_AGAIN_S = 0.2


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait for them; what the first of them raises that was not cancelled is
    raised.

    Once is not enough: before Python 3.12, `asyncio.wait_for`, which nats-py uses, can swallow a
    cancellation that arrives together with the result.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_AGAIN_S)
    failures = [task.exception() for task in tasks if not task.cancelled()]  # asks for all of them
    for failure in failures:
        if failure is not None:
            raise failure
