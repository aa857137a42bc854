"""The durable outbox: events that are to become a ledger record, oldest first.

What was added survives the server's death, and stays until the sequencer has it in the ledger. A
caller answers 200 when :meth:`Outbox.committed` says so, and 202 when it does not say so in time.
"""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import orjson
from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tocsin_issuer.store import event_text, names, scripts
from tocsin_schemas.events import Event, KeyRevoked, RawEvent

_REMEMBERED: Final = 100_000
_ANY_LENGTH: Final = 2**53
_LOOKED_AT: Final = 256  # records; whoever has waited for longer is told that it is pending
_FIRST_POLL_S: Final = 0.1
_SLOWEST_POLL_S: Final = 0.5


class OutboxEntry(NamedTuple):
    """One entry; its ``id`` is the stream's, ``size`` the bytes of its text."""

    id: str
    events: tuple[Event, ...]
    size: int


class RawEntry(Struct, frozen=True, gc=False):
    """One entry whose events have not been read."""

    id: str
    events: tuple[RawEvent, ...]
    size: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many entries are in the outbox, for how long the oldest one has been (seconds, by the
    clock of Redis; 0.0 where there is none), and how many were put aside by :meth:`Outbox.reject`.
    """

    entries: int
    oldest_s: float
    rejected: int


@dataclass(frozen=True, slots=True)
class Emission:
    """An event that is in the outbox: what the caller is told, and what to wait for."""

    event_id: str
    entry_id: str


class Outbox:
    """``wake`` is set after each addition by this process; the sequencer waits for it."""

    def __init__(self, redis: Redis) -> None:
        self.wake = asyncio.Event()
        self._redis = redis
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._add = scripts.EmittingScript(redis, "add_to_outbox")
        self._read = scripts.load(redis, "read_outbox")
        self._committed = scripts.load(redis, "committed")
        self._measure = scripts.load(redis, "outbox_waiting")
        self._recent: set[str] = set()
        self._before: set[str] = set()

    async def add(self, events: Sequence[Event]) -> str:
        """Add events that come with no other change of state; return the entry's id.

        Raises:
            LedgerRejected: ``event_malformed``.
            RequestRejected: ``too_many_events`` (413).
        """
        text = event_text.encode(events)
        entry_id = await self._add(event_text.new_event_id(), keys=[names.OUTBOX], args=[text])
        self.announce()
        return str(entry_id)

    async def emit(self, event: Event) -> Emission:
        """Add one event."""
        return Emission(event.id, await self.add([event]))

    async def revoke_key(self, event: KeyRevoked) -> Emission:
        """Add the revocation of a key of ours, and remember it where tokens are registered."""
        entry_id = await self._add(
            event.id,
            keys=[names.OUTBOX, names.REVOKED_KEYS],
            args=[event_text.encode([event]), event.kid],
        )
        self.announce()
        return Emission(event.id, str(entry_id))

    def announce(self) -> None:
        """A script of this process has added an entry."""
        self.wake.set()

    async def read(
        self, limit: int, *, after: str | None = None, length: int = _ANY_LENGTH
    ) -> list[OutboxEntry]:
        """The oldest entries, at most ``limit``; with ``after``, those behind that entry; with
        ``length``, at most that many bytes of them, but always one.

        Raises:
            LedgerRejected: ``event_malformed``: an entry that this version cannot read. It stays.
        """
        found = await self.read_raw(limit, after=after, length=length)
        events = event_text.read_all([entry.events for entry in found])
        return [
            OutboxEntry(entry.id, read, entry.size)
            for entry, read in zip(found, events, strict=True)
        ]

    async def read_raw(
        self, limit: int, *, after: str | None = None, length: int = _ANY_LENGTH
    ) -> list[RawEntry]:
        """As :meth:`read`, for who looks at the events later.

        Raises:
            LedgerRejected: ``event_malformed``: an entry that is not the JSON of events. It stays.
        """
        start = "-" if after is None else f"({after}"
        ids, sizes, texts = await self._read(keys=[names.OUTBOX], args=[start, limit, length])
        if not ids:
            return []
        entry_ids = ids.split(",")
        events = event_text.split_all(texts, len(entry_ids))
        return list(map(RawEntry, entry_ids, events, orjson.loads(f"[{sizes}]")))

    async def length(self) -> int:
        """How many entries wait."""
        return int(await self._redis.xlen(names.OUTBOX))

    async def waiting(self) -> Waiting:
        """What an operator sees of it."""
        answer: Any = await self._measure(keys=[names.OUTBOX, names.REJECTED])
        entries, oldest_ms, rejected = answer
        return Waiting(entries, oldest_ms / 1000, rejected)

    async def reject(self, entry_id: str, code: str) -> None:
        """Take out an entry that no verifier would accept, and keep it aside with the reason."""
        rows: Any = await self._redis.xrange(names.OUTBOX, min=entry_id, max=entry_id)
        async with self._redis.pipeline(transaction=True) as pipe:
            for _, fields in rows:
                pipe.xadd(names.REJECTED, {**fields, "entry": entry_id, "code": code})
            pipe.xdel(names.OUTBOX, entry_id)
            await pipe.execute()

    def mark_committed(self, entry_ids: Collection[str]) -> None:
        """The sequencer of this process has them in the ledger: those who wait may answer."""
        if len(self._recent) > _REMEMBERED:
            self._recent, self._before = set(), self._recent
        self._recent.update(entry_ids)
        if self._waiting:
            self._tell(entry_ids)

    def _tell(self, entry_ids: Iterable[str]) -> None:
        for entry_id in entry_ids:
            for future in self._waiting.pop(entry_id, ()):
                if not future.done():
                    future.set_result(None)

    async def committed(self, entry_id: str, timeout_s: float) -> bool:
        """Wait until the entry is in the ledger. False: it was not within ``timeout_s`` seconds.

        What a sequencer in another process has committed stands in the journal. That the entry is
        gone would prove nothing: a Redis that went back has lost it as well.
        """
        if entry_id in self._recent or entry_id in self._before:
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(entry_id, []).append(future)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._told_or_found(entry_id, future)
        except TimeoutError:
            return False
        finally:
            self._forget(entry_id, future)

    async def _told_or_found(self, entry_id: str, future: asyncio.Future[None]) -> bool:
        pause = _FIRST_POLL_S
        while True:
            await asyncio.wait([future], timeout=pause)
            if not future.done():
                await self._look(entry_id)
            if future.done():
                return True
            pause = min(2 * pause, _SLOWEST_POLL_S)

    async def _look(self, entry_id: str) -> None:
        """Tell all who wait what the journal says of entries that are as young as this one.

        A server that is away says nothing: the entry was acknowledged and stays.
        """
        milliseconds, _, _ = entry_id.partition("-")
        with suppress(RedisConnectionError, RedisTimeoutError):
            found: Any = await self._committed(
                keys=[names.JOURNAL, names.CHECKPOINT], args=[milliseconds, _LOOKED_AT]
            )
            for entry_ids in found:
                self._tell(orjson.loads(entry_ids))

    def _forget(self, entry_id: str, future: asyncio.Future[None]) -> None:
        others = [one for one in self._waiting.get(entry_id, ()) if one is not future]
        if others:
            self._waiting[entry_id] = others
        else:
            self._waiting.pop(entry_id, None)
