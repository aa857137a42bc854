"""Hands out the issuer's token ids: a lane for each process and hour, counters in random order.

Revoked counters of a lane are a Roaring bitmap; handing them out shuffled, in blocks of 2^16, keeps
an id from telling how many tokens were issued before it, and keeps a bitmap within few blocks.
"""

from array import array
from collections.abc import Callable
from typing import Final

from tocsin_schemas import jti

BLOCK: Final = 1 << 16
_LAST_BLOCK: Final = (1 << 32) - BLOCK
_DRAW_BYTES: Final = 8  # the modulo's bias is below 2^-47


class JtiAllocator:
    """``randomness(n)`` returns n random bytes. Not for use by several threads at once."""

    def __init__(self, randomness: Callable[[int], bytes]) -> None:
        self._randomness = randomness
        self._owner: tuple[int, int] | None = None
        self._lane = b""
        self._base = 0
        self._counters = array("H")
        self._handed_out = BLOCK

    def allocate(self, now: int, process: int) -> str:
        """A new jti.

        Args:
            now: seconds of UTC; the lane is that of its hour.
            process: the process's id. After a fork the child draws a lane of its own, so that no
                two processes ever count in the same one.
        """
        owner = (process, now // jti.HOUR_S)
        if owner != self._owner:
            self._open_lane(owner)
        elif self._handed_out == BLOCK:
            if self._base == _LAST_BLOCK:
                self._open_lane(owner)
            else:
                self._open_block(self._base + BLOCK)
        tail = self._randomness(_DRAW_BYTES + jti.TAIL_RANDOM_LENGTH)
        counter = self._base + self._draw(int.from_bytes(tail[:_DRAW_BYTES]))
        return jti.compose(self._lane, counter, tail[_DRAW_BYTES:])

    def _open_lane(self, owner: tuple[int, int]) -> None:
        self._lane = jti.lane(owner[1], self._randomness(jti.LANE_RANDOM_LENGTH))
        self._owner = owner
        self._open_block(0)

    def _open_block(self, base: int) -> None:
        self._base = base
        self._counters = array("H", range(BLOCK))
        self._handed_out = 0

    def _draw(self, number: int) -> int:
        """One step of a Fisher-Yates shuffle: nothing stalls while a whole block is shuffled."""
        counters, place = self._counters, self._handed_out
        drawn = place + number % (BLOCK - place)
        counters[place], counters[drawn] = counters[drawn], counters[place]
        self._handed_out = place + 1
        return counters[place]
