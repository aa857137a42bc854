"""Tokens that have been verified once, so that seeing them again costs no signature.

Only good tokens get in, so bad ones cannot flood it. Both entries and bytes are bounded.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from tocsin_revocation_bus.core.state import TokenFacts

_OVERHEAD = 1024  # bytes of one entry's objects, roughly, beside the token's text


@dataclass(slots=True)
class CachedToken:
    """``generation`` is that of the state in which the rules last let the token pass.

    ``not_after`` is when its own or its key's time is over, in seconds of UTC.
    """

    claims: Mapping[str, Any]
    facts: TokenFacts
    iat: int
    exp: int
    generation: int
    not_after: float = 0.0


class TokenCache:
    """Bounded; the oldest entry goes first.

    Writes take ``lock``, which whoever shares the cache between threads gives; reads take none.
    """

    def __init__(
        self,
        lock: AbstractContextManager[object] | None = None,
        *,
        max_entries: int = 10_000,
        max_bytes: int = 32 * 2**20,
    ) -> None:
        self._entries: dict[str, CachedToken] = {}
        self._lock = nullcontext() if lock is None else lock
        self._bytes = 0
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self.get = self._entries.get

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, token: str, entry: CachedToken) -> None:
        """Keep one; make room first. What is larger than the whole cache is not kept."""
        size = len(token) + _OVERHEAD
        if size > self._max_bytes or self._max_entries < 1:
            return
        with self._lock:
            self._discard(token)
            while self._entries and (
                len(self._entries) >= self._max_entries or self._bytes + size > self._max_bytes
            ):
                self._discard(next(iter(self._entries)))
            self._entries[token] = entry
            self._bytes += size

    def discard(self, token: str) -> None:
        """Forget one."""
        with self._lock:
            self._discard(token)

    def _discard(self, token: str) -> None:
        if self._entries.pop(token, None) is not None:
            self._bytes -= len(token) + _OVERHEAD
