"""The audit log in Redis: two streams of bounded length, and each entry as a line of the log.

A stream survives what the outbox survives: the process, a power cut, a failover that loses nothing.
All replicas of the issuer write into it, and an operator can page through it without reaching
their disks. It does not survive the loss of Redis, nor its own bound: for longer keeping the log
lines (logger ``tocsin.audit``, the entry's members as fields) are shipped to where logs are kept.

What was refused has a stream of its own. Anybody can fail to log in as often as they like, and must
not push out of the log what was done.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tocsin_issuer.audit_entry import AuditEntry
from tocsin_issuer.logs import FIELDS
from tocsin_issuer.store import names
from tocsin_schemas.errors import RequestRejected

LOGGER: Final = "tocsin.audit"
ACTS: Final = "acts"
REFUSALS: Final = "refusals"

_FIELD: Final = "entry"
_MAX_GROUP: Final = 256
_MAX_WAITING: Final = 4096
_WRITE_TIMEOUT_S: Final = 5.0

_lines = logging.getLogger(LOGGER)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Entries as JSON members, newest first; ``cursor`` is where the next page begins, '' where
    there is none.
    """

    entries: tuple[dict[str, Any], ...]
    cursor: str


class AuditLog:
    """Entries that come at the same time are written together, with one fsync.

    :meth:`write` returns when the entry is durable; :meth:`note` does not wait, so that a login or
    an exchange costs no more than before: a crash can lose the last few of those from the stream,
    though not from the log lines. A store that does not answer changes nothing about what was done:
    the line remains, and the log says that the stream lacks it.

    ``outcomes`` counts this process' entries by action and outcome, and what is not entered too.
    """

    def __init__(self, redis: Redis, *, max_entries: int) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self._redis = redis
        self._max_entries = max_entries
        self._waiting: list[tuple[AuditEntry, asyncio.Future[None] | None]] = []
        self._writing: asyncio.Task[None] | None = None

    def pass_over(self, entry: AuditEntry) -> None:
        """Count what is neither logged nor stored."""
        self.outcomes[entry.action, entry.outcome] += 1

    def note(self, entry: AuditEntry) -> None:
        """Log an entry, and have it stored soon."""
        self._take(entry, None)

    async def write(self, entry: AuditEntry) -> None:
        """Log an entry, and return when it is stored, or cannot be."""
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._take(entry, stored)
        await stored

    async def page(self, of: str, limit: int, cursor: str = "") -> AuditPage:
        """At most ``limit`` entries that are older than the cursor's.

        Raises:
            RequestRejected: ``cursor_invalid``.
        """
        time, dash, number = cursor.partition("-")
        if cursor and not (dash and _is_number(time) and _is_number(number)):
            raise RequestRejected("cursor_invalid", "the cursor is none of ours")
        rows: Any = await self._redis.xrevrange(
            names.AUDIT_LOG + of, max=f"({cursor}" if cursor else "+", count=limit
        )
        entries = tuple(orjson.loads(fields[_FIELD]) for _, fields in rows)
        return AuditPage(entries, rows[-1][0] if len(rows) == limit else "")

    async def aclose(self) -> None:
        """Wait for what has been noted."""
        if self._writing is not None:
            await self._writing

    def _take(self, entry: AuditEntry, stored: asyncio.Future[None] | None) -> None:
        self.outcomes[entry.action, entry.outcome] += 1
        _lines.info("%s: %s", entry.action, entry.outcome, extra={FIELDS: entry.members()})
        if len(self._waiting) >= _MAX_WAITING:
            _log.error("an audit entry is not stored: too many wait")
            if stored is not None:
                stored.set_result(None)
            return
        self._waiting.append((entry, stored))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_groups(), name="audit log")

    async def _write_groups(self) -> None:
        """While one group is with the server, the next one gathers."""
        try:
            while self._waiting:
                group = self._waiting[:_MAX_GROUP]
                del self._waiting[:_MAX_GROUP]
                try:
                    await self._write([entry for entry, _ in group])
                except (RedisError, TimeoutError) as error:
                    _log.error("%d audit entries not stored: %s", len(group), type(error).__name__)
                finally:
                    for _, stored in group:
                        if stored is not None and not stored.done():
                            stored.set_result(None)
        finally:
            self._writing = None

    async def _write(self, entries: Sequence[AuditEntry]) -> None:
        async with (
            asyncio.timeout(_WRITE_TIMEOUT_S),
            self._redis.pipeline(transaction=False) as pipe,
        ):
            for entry in entries:
                pipe.xadd(
                    names.AUDIT_LOG + (REFUSALS if entry.refused else ACTS),
                    {_FIELD: orjson.dumps(entry.members()).decode()},
                    maxlen=self._max_entries,
                    approximate=True,
                )
            await pipe.execute()


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20
