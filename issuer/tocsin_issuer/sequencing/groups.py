"""What becomes one record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tocsin_issuer.core.sequencer import brings_keyset
from tocsin_issuer.store.outbox import OutboxEntry

GROUP_LENGTH: Final = 192 * 1024
"""Bytes of events in one record. An agent takes it in at once, and verifies nothing meanwhile: 2 to
4 ms for one of this length, 15 ms for the longest that there may be.
"""


def next_group(entries: Sequence[OutboxEntry]) -> Sequence[OutboxEntry]:
    """The longest start of the outbox that fits one record; a keyset stands alone."""
    size = 0
    for number, entry in enumerate(entries):
        size += entry.size
        if brings_keyset(entry.events):
            return entries[: number or 1]
        if size > GROUP_LENGTH and number:
            return entries[:number]
    return entries
