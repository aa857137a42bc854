"""The issuer's revoked token ids: for each lane one Roaring bitmap, exact, dropped whole."""

from array import array
from collections.abc import Iterator
from hashlib import sha256
from operator import itemgetter
from sys import byteorder

from pyroaring import BitMap

from tocsin_schemas.jti import LANE_LENGTH, Place

_FREED_AT_ONCE = 64  # lanes; a large one takes some microseconds
_SEALED_AT_ONCE = 200_000  # counters, or one lane
_NOTHING = (0, sha256().digest())


class Lane:
    """One lane's revoked counters. ``until`` is the latest of its rules', in seconds of UTC."""

    __slots__ = ("_digest", "counters", "is_sealed", "until")

    def __init__(self, counters: BitMap | None = None, until: int = 0) -> None:
        self.counters = BitMap() if counters is None else counters
        self.until = until
        self.is_sealed = False
        self._digest = _NOTHING

    def digest(self) -> bytes:
        """SHA-256 over the sorted counters, four bytes each, little-endian.

        A Roaring bitmap's own bytes depend on how it was filled; its elements do not. The digest is
        kept with their number, which tells an old one: they are only ever added, perhaps by the
        writer while another thread works out the digest for a status page.
        """
        count, digest = self._digest
        if count != len(self.counters):
            elements: array[int] = self.counters.to_array()
            count = len(elements)
            if byteorder == "big":
                elements.byteswap()
            digest = sha256(elements.tobytes()).digest()
            self._digest = count, digest
        return digest


class Lanes:
    """All lanes with at least one revoked token."""

    def __init__(self) -> None:
        self._lanes: dict[bytes, Lane] = {}
        self._ended: list[Lane] = []
        self._unsealed: list[Lane] = []

    def __len__(self) -> int:
        """How many tokens are revoked."""
        return sum(len(lane.counters) for lane in list(self._lanes.values()))

    def add(self, place: Place, until: int) -> None:
        """Revoke one token."""
        name = place[:LANE_LENGTH]
        lane = self._lanes.get(name)
        if lane is None:
            self._lanes[name] = lane = Lane()
            self._unsealed.append(lane)
            del self._ended[-2:]  # what grows frees what has ended, and faster than it grows
        elif lane.is_sealed:
            lane.is_sealed = False
            self._unsealed.append(lane)
        lane.counters.add(int.from_bytes(place[LANE_LENGTH:]))
        if until > lane.until:
            lane.until = until

    def hits(self, place: Place) -> bool:
        """Whether a token is revoked; a method is called faster than ``in``."""
        lane = self._lanes.get(place[:LANE_LENGTH])
        return lane is not None and int.from_bytes(place[LANE_LENGTH:]) in lane.counters

    __contains__ = hits

    def drop_before(self, hour: int) -> None:
        """Forget the lanes all of whose rules ended before ``hour`` (hours since the epoch).

        Their memory is freed bit by bit: thousands of lanes may end in one hour.
        """
        first = hour * 3600
        ended = [name for name, lane in self._lanes.items() if lane.until < first]
        self._ended += [self._lanes.pop(name) for name in ended]
        self.tidy()

    def tidy(self) -> None:
        """Free some of what has ended: a step of bounded length."""
        del self._ended[-_FREED_AT_ONCE:]

    def seal_some(self) -> None:
        """Work out some of the digests that the canonical form will ask for: a bounded step."""
        done = 0
        while self._unsealed and done < _SEALED_AT_ONCE:
            lane = self._unsealed.pop()
            lane.is_sealed = True  # before its digest: what is added meanwhile unseals it
            lane.digest()
            done += 64 + len(lane.counters)

    def canonical(self) -> Iterator[bytes]:
        """The canonical form, lane by lane, sorted."""
        for name, lane in self._sorted():
            yield name + lane.until.to_bytes(8) + lane.digest()

    def bitmaps(self) -> Iterator[tuple[bytes, int, BitMap]]:
        """Each lane's name, its ``until`` and its counters, sorted by name."""
        for name, lane in self._sorted():
            yield name, lane.until, lane.counters

    def load(self, name: bytes, until: int, counters: BitMap) -> None:
        """Take over all of a lane that is not here yet."""
        self._lanes[name] = lane = Lane(counters, until)
        self._unsealed.append(lane)

    def _sorted(self) -> list[tuple[bytes, Lane]]:
        return sorted(self._lanes.items(), key=itemgetter(0))
