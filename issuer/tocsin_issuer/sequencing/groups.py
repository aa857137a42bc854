"""What becomes one record."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, chain
from typing import Final

from tocsin_issuer.core.sequencer import brings_keyset
from tocsin_issuer.store.outbox import RawEntry

GROUP_LENGTH: Final = 192 * 1024
"""Bytes of events in one record. An agent takes it in at once, and verifies nothing meanwhile: 2 to
4 ms for one of this length, 15 ms for the longest that there may be.
"""


def next_group(entries: Sequence[RawEntry]) -> Sequence[RawEntry]:
    """The longest start of the outbox that fits one record; a keyset stands alone."""
    ends = list(accumulate([entry.size for entry in entries]))
    fitting = entries[: max(1, bisect_right(ends, GROUP_LENGTH))]
    if brings_keyset(chain.from_iterable([entry.events for entry in fitting])):
        alone = next(n for n, entry in enumerate(fitting) if brings_keyset(entry.events))
        return fitting[: alone or 1]
    return fitting
