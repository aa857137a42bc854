"""Refresh tokens count only while Redis is known to have lost none of what there was."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from tocsin_issuer.store.journal import Journal
from tocsin_issuer.store.lineage import PROMOTED, Lineage
from tocsin_revocation_bus.core.replica import Replica
from tocsin_revocation_bus.jetstream.direct_get import ReadFailed
from tocsin_schemas.errors import RequestRejected

_LOOK_EVERY_S: Final = 0.25
_log = logging.getLogger("tocsin.issuer")


class StoreGuard:
    """Whether this Redis server is known to be no older than the ledger, and no older than what
    this process has seen of it.

    A server that went back was started anew, or is another one; then the ledger is read to its end
    into ``replica`` by ``read_ledger``, and compared.
    """

    def __init__(
        self, redis: Redis, replica: Replica, read_ledger: Callable[[], Awaitable[None]]
    ) -> None:
        self._lineage = Lineage(redis)
        self._journal = Journal(redis)
        self._replica = replica
        self._read_ledger = read_ledger
        self._known: str | None = None
        self._refreshes = 0

    async def watch(self) -> None:
        """Look at it again and again: what other processes refresh has to be known here as well,
        should they not be there when Redis goes back. Runs until cancelled.
        """
        while True:
            with suppress(RedisError, RequestRejected):
                await self._look()
            await asyncio.sleep(_LOOK_EVERY_S)

    async def require_current(self, refreshes: int = 0) -> int:
        """Return if it is; how many refreshes there have been, at least. ``refreshes`` is what the
        caller knows of that.

        Raises:
            RequestRejected: ``store_went_back`` (503): it is not, or that cannot be told now.
        """
        self._refreshes = max(self._refreshes, refreshes)
        server = await self._look()
        if server == self._known:
            return self._refreshes
        try:
            await self._read_ledger()
        except ReadFailed:
            raise _refused() from None
        head, replica = self._replica.head, self._replica
        if head is None or replica.halted is not None or replica.behind:
            raise _refused()
        if await self._journal.newest() < head.n:
            raise _refused()
        self._known = server
        return self._refreshes

    async def _look(self) -> str:
        seen = self._refreshes
        look = await self._lineage.look(seen)
        self._refreshes = max(self._refreshes, look.refreshes)
        if look.why:
            what = "has another primary" if look.why == PROMOTED else "has lost refreshes"
            _log.error("Redis %s: every refresh token ends", what)
            raise _refused()
        return look.server


def _refused() -> RequestRejected:
    text = "the issuer is reading the ledger; repeat later"
    return RequestRejected("store_went_back", text, status=503)
