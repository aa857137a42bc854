"""A Redis that went back to an older state: noticed, and brought up to the ledger.

Each record is journaled before it is published, so a journal that ends before the ledger does is of
a Redis that has lost what came after. The journal is filled last, record by record: until it
reaches the ledger's head, everybody sees that Redis cannot be trusted yet, whoever dies meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from nats.aio.client import Client
from redis.asyncio import Redis

from tocsin_issuer.sequencing.lost_changes import LostChanges
from tocsin_issuer.store.account_endings import AccountEndings
from tocsin_issuer.store.journal import Journal, JournalEntry
from tocsin_issuer.store.lineage import Lineage
from tocsin_issuer.store.outbox import Outbox
from tocsin_issuer.store.restoration import Restoration
from tocsin_revocation_bus.core.replica import Replica
from tocsin_revocation_bus.jetstream.replay import replay

_PAGE = 1000
_log = logging.getLogger("tocsin.sequencer")


class Restoring:
    """For the active sequencer. ``fresh_replica`` has applied nothing yet."""

    def __init__(
        self,
        redis: Redis,
        client: Client,
        outbox: Outbox,
        account_endings: AccountEndings,
        fresh_replica: Callable[[], Replica],
    ) -> None:
        self._redis = redis
        self._journal = Journal(redis)
        self._store = Restoration(redis)
        self._lineage = Lineage(redis)
        self._client = client
        self._outbox = outbox
        self._account_endings = account_endings
        self._fresh_replica = fresh_replica

    async def bring_up(self, head_n: int) -> None:
        """Do nothing, unless the journal ends before the ledger's head.

        Raises:
            RedisError, ReadFailed: it is to be called again, and goes on where it was.
        """
        newest = await self._journal.newest()
        if newest >= head_n:
            return
        journal = Journal(self._redis)  # one that knows of nothing that Redis has lost
        _log.error("Redis went back to record %d of %d: every refresh token ends", newest, head_n)
        await self._lineage.end_all_families()
        entry_of = await self._waiting()
        lost = LostChanges(self._account_endings)
        async for one in replay(self._client, self._fresh_replica()):
            parsed = one.record
            # What waits again has been committed, also in a record that was journaled and not yet
            # settled: it must not be a second time.
            ids = {entry_of[event.id]: None for event in parsed.events if event.id in entry_of}
            if parsed.n > newest:
                for event in parsed.events:
                    await self._store.revoke(event)
                    if event.id not in entry_of:  # what waits came with its change
                        await lost.close(event, parsed.n)
                await journal.append(parsed.n, parsed.text, list(ids))
            elif not ids:
                continue
            self._outbox.mark_committed(ids)
            entry = JournalEntry(parsed.n, parsed.text, tuple(ids))
            await journal.settle(entry, parsed.term, parsed.hash, one.seq)
        _log.error("Redis is up to the ledger again")

    async def _waiting(self) -> dict[str, str]:
        """The outbox entry of each event that waits."""
        entry_of: dict[str, str] = {}
        last: str | None = None
        while entries := await self._outbox.read(_PAGE, after=last):
            last = entries[-1].id
            entry_of |= {event.id: entry.id for entry in entries for event in entry.events}
        return entry_of
