"""What becomes one record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tocsin_issuer.core.sequencer import brings_keyset
from tocsin_issuer.store.outbox import OutboxEntry

GROUP_LENGTH: Final = 32 * 1024
"""Bytes of events in one record. An agent takes it in at once, and verifies nothing meanwhile: 1 to
2 ms for one of this length, 25 ms for the longest that there may be.
"""


def next_group(entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
    """The longest start of the outbox that fits one record; a keyset stands alone."""
    group: list[OutboxEntry] = []
    size = 0
    for entry in entries:
        size += entry.size
        alone = brings_keyset(entry.events)
        if group and (alone or size > GROUP_LENGTH):
            break
        group.append(entry)
        if alone:
            break
    return group
