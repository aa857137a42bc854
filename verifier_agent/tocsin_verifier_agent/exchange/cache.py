"""Exchanged tokens by what they were asked for with."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from tocsin_verifier_agent.exchange.transport import ExchangedToken, Question


class Key(NamedTuple):
    """The subject token's digest: only one text of the two need be kept."""

    subject: bytes
    audience: str
    scopes: tuple[str, ...] | None


class Entry(NamedTuple):
    """``fresh_until`` is a reading of the lease clock, in nanoseconds."""

    exchanged: ExchangedToken
    fresh_until: int


def key_of(question: Question) -> Key:
    """The scopes in any order are the same scopes."""
    scopes = None if question.scopes is None else tuple(sorted(set(question.scopes)))
    subject = hashlib.sha256(question.subject_token.encode("utf-8", "surrogatepass")).digest()
    return Key(subject, question.audience, scopes)


class ExchangeCache:
    """Bounded in entries; the oldest goes first. For one thread."""

    def __init__(self, max_entries: int) -> None:
        self._entries: dict[Key, Entry] = {}
        self._max_entries = max_entries

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key, now: int) -> ExchangedToken | None:
        """One that is fresh at ``now``."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if now >= entry.fresh_until:
            del self._entries[key]
            return None
        return entry.exchanged

    def put(self, key: Key, entry: Entry) -> None:
        """Keep one; make room first."""
        self._entries.pop(key, None)
        if self._max_entries < 1:
            return
        while len(self._entries) >= self._max_entries:
            del self._entries[next(iter(self._entries))]
        self._entries[key] = entry

    def discard(self, key: Key) -> None:
        """Forget one."""
        self._entries.pop(key, None)
