"""Revoking as many tokens as a caller can name, in one stream.

Each few hundred become one event in the outbox; at most a few such events wait for the ledger at a
time, and no more is read meanwhile: memory is bounded, the caller feels how fast the ledger is, and
a logout that comes in between waits behind those few alone.

Nothing is undone. What was accepted stays accepted; a bad line is told of by its number, and the
others go on; where the call ends early, ``through`` is the number of the last line that has been
dealt with. All of it may be sent again: a token that is revoked twice is revoked.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from redis.exceptions import RedisError

from tocsin_issuer.revoking import lines
from tocsin_issuer.revoking.lines import LineCutter
from tocsin_issuer.store.outbox import Emission, Outbox
from tocsin_issuer.store.revocations import Revocations
from tocsin_schemas.claims import rule_until
from tocsin_schemas.errors import RequestRejected, TocsinError

PER_EVENT: Final = 400
"""About 25 KB of a record, which agents take in at once: that many lines are one event."""

EVENTS_AHEAD: Final = 8
MAX_BAD_LINES: Final = 1000
"""After so many the file is the wrong one; and a caller that reads no answer before it has sent
everything must not find it stuck in the buffers.
"""

PROGRESS_EVERY: Final = 10_000
_CLOCKS_APART_S: Final = 240
"""Less than the store's script allows: no event is refused for one of its tokens."""


@dataclass(slots=True)
class Progress:
    """How far a call is, in lines. ``expired`` are those with nothing left to revoke."""

    lines: int = 0
    accepted: int = 0
    expired: int = 0
    refused: int = 0
    through: int = 0

    def members(self) -> dict[str, Any]:
        """As JSON members, but for ``through``."""
        names = ("lines", "accepted", "expired", "refused")
        return {name: getattr(self, name) for name in names}


@dataclass(slots=True)
class BulkRevocation:
    """One call. ``stall_s`` is how long the ledger may take over an event, in seconds."""

    revocations: Revocations
    outbox: Outbox
    reason: str
    iss: str | None
    stall_s: float
    wall_clock: Callable[[], float]
    progress: Progress = field(default_factory=Progress)
    _batch: list[tuple[str, int]] = field(default_factory=list)
    _waiting: deque[Emission] = field(default_factory=deque)

    async def run(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
        """Revoke what the lines name, and tell of it: each bad line, the progress, and at last how
        it ended (``status``: ``committed``, ``pending``, or ``stopped`` with a ``code``).
        """
        try:
            async for told in self._read(chunks):
                yield told
            await self._flush()
            status = {"status": await self._settle()}
        except (TocsinError, RedisError) as error:
            code = error.code if isinstance(error, TocsinError) else "store_unavailable"
            status = {"status": "stopped", "code": code}
        yield {**status, **self.progress.members(), "through": self.progress.through}

    async def _read(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
        cutter, told_at = LineCutter(), 0
        async for chunk in chunks:
            for line in cutter.feed(chunk):
                if (bad := await self._take(line)) is not None:
                    yield bad
            if self.progress.lines - told_at >= PROGRESS_EVERY:
                told_at = self.progress.lines
                yield self.progress.members()
        for line in cutter.end():
            if (bad := await self._take(line)) is not None:
                yield bad

    async def _take(self, line: bytes) -> dict[str, Any] | None:
        """Deal with one line; what is wrong with it, if anything is."""
        progress = self.progress
        progress.lines += 1
        try:
            token = lines.read(line)
            if token is not None and self._lives(token[1]):
                self._batch.append(token)
        except RequestRejected as rejected:
            if progress.refused == MAX_BAD_LINES:
                progress.lines -= 1
                await self._flush()
                raise RequestRejected("too_many_bad_lines") from None
            progress.refused += 1
            return {"line": progress.lines, "code": rejected.code}
        if len(self._batch) == PER_EVENT:
            await self._flush()
        return None

    def _lives(self, exp: int) -> bool:
        """Whether a token of that exp is left to revoke. Raises where none lives that long."""
        now = self.wall_clock()
        if rule_until(exp) + _CLOCKS_APART_S < now:
            self.progress.expired += 1
            return False
        if exp > now + self.revocations.life_s(self.iss) + _CLOCKS_APART_S:
            raise RequestRejected("exp_too_late", "no token of that issuer lives that long")
        return True

    async def _flush(self) -> None:
        """Put what has gathered into the outbox, when the ledger has made room for it.

        Raises:
            RequestRejected: ``ledger_stalled`` (503): it has not.
        """
        if len(self._waiting) >= EVENTS_AHEAD:
            oldest = self._waiting[0].entry_id
            if not await self.outbox.committed(oldest, self.stall_s):
                raise RequestRejected("ledger_stalled", "the ledger takes nothing", status=503)
            self._waiting.popleft()
        if self._batch:
            emission = await self.revocations.revoke_tokens(
                self._batch, self.reason, "admin", iss=self.iss
            )
            self._waiting.append(emission)
            self.progress.accepted += len(self._batch)
            self._batch = []
        self.progress.through = self.progress.lines
        await asyncio.sleep(0)  # others have their turn, even where nothing had to be waited for

    async def _settle(self) -> str:
        """The outbox is first in, first out: with the last event, all are in the ledger."""
        if not self._waiting:
            return "committed"
        done = await self.outbox.committed(self._waiting[-1].entry_id, self.stall_s)
        return "committed" if done else "pending"
