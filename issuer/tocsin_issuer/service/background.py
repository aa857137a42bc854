"""What runs for as long as the service does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from tocsin_revocation_bus.tasks import end

_log = logging.getLogger("tocsin.issuer")


class Background:
    """Tasks that end with ``closing``; the first failure of one is the service's. Make it in the
    running event loop.
    """

    def __init__(self, closing: AsyncExitStack) -> None:
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._closing = closing

    def run(self, work: Callable[[], Awaitable[None]], name: str) -> None:
        """Begin ``work``."""

        async def watched() -> None:
            try:
                await work()
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                _log.error("%s failed: %s", name, getattr(error, "code", type(error).__name__))
                if not self.failed.done():
                    self.failed.set_exception(error)

        self._closing.push_async_callback(end, asyncio.create_task(watched(), name=name))

    def raise_failure(self) -> None:
        """Raise what a task has failed with, if one has."""
        if self.failed.done():
            self.failed.result()
