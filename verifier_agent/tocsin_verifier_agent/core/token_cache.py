"""Tokens that have been verified once, so that seeing them again costs no signature.

Only good tokens get in, so bad ones cannot flood it. Both entries and bytes are bounded.

A request brings a text that nobody has hashed yet, and to hash all of it would be a quarter of what
a token seen before costs. So an entry stands under the token's last characters, which are of its
signature, and whoever looks compares the whole text. Of good tokens that end alike one is kept.
"""

from collections import deque
from contextlib import AbstractContextManager, nullcontext

from msgspec import Struct

from tocsin_verifier_agent.core.access_token import AccessToken
from tocsin_verifier_agent.core.authority import TrustedKey

TAIL = -32  # where those characters begin: 24 bytes of the signature
# Bytes at most of an entry's objects, beside the texts of token and payload, and of each value
# that a payload may hold more than usual. A test weighs real entries against them.
_ENTRY, _VALUE = 1152, 64


class CachedToken(Struct, gc=False):
    """``text`` is the token's. ``generation`` is that of the state in which the rules last let it
    pass.

    ``kid`` is the header's; ``not_after`` is when the token's or its key's time is over, in seconds
    of UTC; ``bound_to`` is the thumbprint of the one certificate that the token may come with;
    ``size`` is what the cache takes it for, in bytes. It holds no cycles, so the garbage collector
    need not look at it.
    """

    text: str
    payload: bytes
    token: AccessToken
    kid: str
    key: TrustedKey
    generation: int
    not_after: float
    bound_to: str | None = None
    size: int = 0


class TokenCache:
    """Bounded; the oldest entry goes first, whoever took its place meanwhile.

    Writes take ``lock``, which whoever shares the cache between threads gives; reads take none.
    ``ending_with`` finds what may be a token's entry by its last characters, from ``TAIL`` on.
    """

    def __init__(
        self,
        lock: AbstractContextManager[object] | None = None,
        *,
        max_entries: int = 10_000,
        max_bytes: int = 32 * 2**20,
    ) -> None:
        self._entries: dict[str, CachedToken] = {}
        # What they stand under, oldest first: a dict would look for its oldest past all that have
        # gone. What was discarded holds its place here until it would have been the oldest.
        self._order: deque[str] = deque()
        self._lock = nullcontext() if lock is None else lock
        self._bytes = 0
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self.ending_with = self._entries.get

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, token: str) -> CachedToken | None:
        """The entry of this very text."""
        entry = self.ending_with(token[TAIL:])
        return entry if entry is not None and entry.text == token else None

    def put(self, entry: CachedToken) -> None:
        """Keep one, and make room. What is larger than the whole cache is not kept."""
        text, payload = entry.text, entry.payload
        # At most; what a payload says is held twice, as it came and as read.
        size = _ENTRY + len(text) + 2 * len(payload) + _VALUE * payload.count(b",")
        if size > self._max_bytes:
            return
        entry.size = size
        entries, order, tail = self._entries, self._order, text[TAIL:]
        with self._lock:
            replaced = entries.get(tail)
            if replaced is None:
                order.append(tail)
            else:
                self._bytes -= replaced.size
            entries[tail] = entry
            self._bytes += size
            while self._bytes > self._max_bytes or len(order) > self._max_entries:
                self._forget(order.popleft())

    def discard(self, token: str) -> None:
        """Forget one, and any other that ends like it."""
        with self._lock:
            self._forget(token[TAIL:])

    def _forget(self, tail: str) -> None:
        entry = self._entries.pop(tail, None)
        if entry is not None:
            self._bytes -= entry.size
