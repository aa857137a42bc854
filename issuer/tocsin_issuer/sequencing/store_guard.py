"""Refresh tokens count only while Redis is known to be no older than the ledger."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from redis.asyncio import Redis

from tocsin_issuer.store.journal import Journal
from tocsin_revocation_bus.core.replica import Replica
from tocsin_revocation_bus.jetstream.direct_get import ReadFailed
from tocsin_schemas.errors import RequestRejected


class StoreGuard:
    """Whether this Redis server is known to be no older than the ledger.

    A server that went back was started anew, or is another one: either shows in its run id.
    ``read_ledger`` reads the ledger to its end into ``replica``.
    """

    def __init__(
        self, redis: Redis, replica: Replica, read_ledger: Callable[[], Awaitable[None]]
    ) -> None:
        self._redis = redis
        self._journal = Journal(redis)
        self._replica = replica
        self._read_ledger = read_ledger
        self._known: str | None = None

    async def require_current(self) -> None:
        """Return if it is.

        Raises:
            RequestRejected: ``store_went_back`` (503): it is not, or that cannot be told now.
        """
        run_id = str((await self._redis.info("server"))["run_id"])
        if run_id == self._known:
            return
        try:
            await self._read_ledger()
        except ReadFailed:
            raise _refused() from None
        head, replica = self._replica.head, self._replica
        if head is None or replica.halted is not None or replica.behind:
            raise _refused()
        if await self._journal.newest() < head.n:
            raise _refused()
        self._known = run_id


def _refused() -> RequestRejected:
    text = "the issuer is reading the ledger; repeat later"
    return RequestRejected("store_went_back", text, status=503)
