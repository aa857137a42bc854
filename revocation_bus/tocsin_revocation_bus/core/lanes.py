"""The issuer's revoked token ids: for each lane one Roaring bitmap, exact, dropped whole."""

from array import array
from collections.abc import Iterator
from hashlib import sha256
from operator import itemgetter
from sys import byteorder

from pyroaring import BitMap

from tocsin_schemas.jti import LaneId


class Lane:
    """One lane's revoked counters. ``until`` is the latest of its rules', in seconds of UTC."""

    __slots__ = ("_digest", "counters", "until")

    def __init__(self) -> None:
        self.counters = BitMap()
        self.until = 0
        self._digest = (0, sha256().digest())

    def add(self, counter: int, until: int) -> None:
        """Revoke one counter."""
        self.counters.add(counter)
        self.until = max(self.until, until)

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

    def __len__(self) -> int:
        """How many tokens are revoked."""
        return sum(len(lane.counters) for lane in list(self._lanes.values()))

    def add(self, place: LaneId, until: int) -> None:
        """Revoke one token."""
        lane = self._lanes.get(place.lane)
        if lane is None:
            lane = self._lanes[place.lane] = Lane()
        lane.add(place.counter, until)

    def __contains__(self, place: LaneId) -> bool:
        lane = self._lanes.get(place.lane)
        return lane is not None and place.counter in lane.counters

    def drop_before(self, hour: int) -> None:
        """Forget the lanes all of whose rules ended before ``hour`` (hours since the epoch)."""
        ended = [name for name, lane in self._lanes.items() if lane.until // 3600 < hour]
        for name in ended:
            del self._lanes[name]

    def canonical(self) -> Iterator[bytes]:
        """The canonical form, lane by lane, sorted."""
        for name, lane in sorted(self._lanes.items(), key=itemgetter(0)):
            yield name + lane.until.to_bytes(8) + lane.digest()
