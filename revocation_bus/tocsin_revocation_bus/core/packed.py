"""Many rules in little memory: rows of a 16-byte digest and perhaps a value, packed into bytes.

A Python set takes 98 bytes for each digest, stops everything while it grows, and again when it is
freed. Here the rows lie in shards of some dozens, each one ``bytes`` that is searched from its
start, and the table grows by one shard at a time (linear hashing): no call does more than a shard's
worth of work, and the garbage collector walks one list instead of every row.

Reading takes no lock. A shard is never changed, only replaced, and rows that move to a new shard
are in both until the old one has been replaced; a reader that misses looks again where the table
has grown meanwhile.
"""

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256

DIGEST_LENGTH = 16
GROUPS = 256

_ROWS = 48  # in a shard, on average: fewer cost more memory, more cost time
_FREED_AT_ONCE = 128  # shards
_SEALED_AT_ONCE = 8192  # rows, or one group


class PackedRows:
    """Rows by digest, each ``DIGEST_LENGTH + value_length`` bytes. One thread writes.

    Which shard a row is in depends on its first byte, the row's group, and on Python's own hash,
    whose seed nobody outside knows: chosen digests cannot be made to meet in one shard.
    """

    __slots__ = ("_count", "_mask", "_seals", "_shards", "_width", "changes")

    def __init__(self, value_length: int = 0) -> None:
        self.changes = [0] * GROUPS  # of each group; counted after the change is there
        self._seals = [(-1, b"")] * GROUPS
        self._width = DIGEST_LENGTH + value_length
        self._count = 0
        self._shards = [b""] * GROUPS
        self._mask = GROUPS  # the bits of the hash in use, those of the group left out

    def __len__(self) -> int:
        return self._count

    def get(self, digest: bytes) -> bytes | None:
        """The value kept with ``digest`` (empty where rows have none), or None."""
        shards, width = self._shards, self._width
        group, spread = digest[0], hash(digest)
        while True:
            size = len(shards)  # before the mask: the writer widens the mask first
            mask = self._mask
            place = spread & mask | group
            if place >= size:
                place -= (mask + GROUPS) >> 1
            shard = shards[place]
            at = shard.find(digest)
            while at >= 0:
                if not at % width:  # else the digest's bytes happen to lie across two rows
                    return shard[at + DIGEST_LENGTH : at + width]
                at = shard.find(digest, at + 1)
            if len(shards) == size:
                return None

    def put(self, digest: bytes, value: bytes = b"") -> bool:
        """Keep a row that is new, or replace its value; return whether a shard was added."""
        size, mask = len(self._shards), self._mask
        place = hash(digest) & mask | digest[0]
        if place >= size:
            place -= (mask + GROUPS) >> 1
        shard, width = self._shards[place], self._width
        at = shard.find(digest)
        while at >= 0 and at % width:
            at = shard.find(digest, at + 1)
        if at >= 0:
            if shard[at + DIGEST_LENGTH : at + width] != value:
                self._shards[place] = shard[:at] + digest + value + shard[at + width :]
                self.changes[digest[0]] += 1
            return False
        self._shards[place] = shard + digest + value
        self._count += 1
        self.changes[digest[0]] += 1
        if self._count <= size * _ROWS:
            return False
        self._split()
        return True

    def fill(self, rows: Sequence[bytes]) -> None:
        """Keep many rows, all distinct, in a table that is empty."""
        size = max(GROUPS, -(-len(rows) // _ROWS))
        while self._mask + GROUPS < size:
            self._mask = 2 * self._mask + GROUPS
        mask, back = self._mask, (self._mask + GROUPS) >> 1
        shards: list[list[bytes]] = [[] for _ in range(size)]
        for row in rows:
            place = hash(row[:DIGEST_LENGTH]) & mask | row[0]
            shards[place if place < size else place - back].append(row)
        self._shards = [b"".join(shard) for shard in shards]
        self._count = len(rows)

    def sorted(self, others: Sequence[bytes]) -> Iterator[bytes]:
        """All rows, ``others`` among them, sorted and joined, one group at a time."""
        groups = _by_group(others)
        for group in range(GROUPS):
            yield b"".join(sorted([*self._rows(group), *groups[group]]))

    def seal_some(self, others: Callable[[], Sequence[bytes]]) -> bool:
        """Work out some of the seals, in a step of bounded length; return whether any was old."""
        old = [g for g, changes in enumerate(self.changes) if self._seals[g][0] != changes]
        if old:
            groups, rows_each = _by_group(others()), self._count // GROUPS + 1
            for group in old[: max(1, _SEALED_AT_ONCE // rows_each)]:
                self._seal(group, self.changes[group], groups[group])
        return bool(old)

    def seals(self, others: Callable[[], Sequence[bytes]]) -> Iterator[bytes]:
        """SHA-256 of each group's rows, sorted, those of ``others`` among them.

        Each is kept with the number of changes that it has seen, read before any row is: the writer
        may go on while another thread works this out for a status page. Who changes ``others``
        counts that in ``changes`` too.
        """
        seen = tuple(self.changes)
        groups = _by_group(others())
        for group, changes in enumerate(seen):
            known, seal = self._seals[group]
            yield seal if known == changes else self._seal(group, changes, groups[group])

    def dismantle(self) -> Iterator[int]:
        """Free some shards at each step, and say how many. A reader may still be here, and miss."""
        for start in range(0, len(self._shards), _FREED_AT_ONCE):
            freed = len(self._shards[start : start + _FREED_AT_ONCE])
            self._shards[start : start + _FREED_AT_ONCE] = [b""] * freed
            yield freed

    def _seal(self, group: int, changes: int, others: Sequence[bytes]) -> bytes:
        seal = sha256(b"".join(sorted([*self._rows(group), *others]))).digest()
        self._seals[group] = changes, seal
        return seal

    def _rows(self, group: int) -> set[bytes]:
        """The rows whose digest starts with the byte ``group``."""
        # One slice: no row is missed. One that is just moving is there twice.
        joined, width = b"".join(self._shards[group::GROUPS]), self._width
        return {joined[at : at + width] for at in range(0, len(joined), width)}

    def _split(self) -> None:
        """Add one shard, with about half of the rows of an older one."""
        added = len(self._shards)
        if added == self._mask + GROUPS:
            self._mask = 2 * self._mask + GROUPS
        older = added - ((self._mask + GROUPS) >> 1)
        mask, bits = self._mask, added - added % GROUPS
        width, shard = self._width, self._shards[older]
        stays: list[bytes] = []
        moves: list[bytes] = []
        for at in range(0, len(shard), width):
            row = shard[at : at + width]
            moved = hash(row[:DIGEST_LENGTH]) & mask == bits
            (moves if moved else stays).append(row)
        self._shards.append(b"".join(moves))
        self._shards[older] = b"".join(stays)


def _by_group(rows: Sequence[bytes]) -> list[list[bytes]]:
    groups: list[list[bytes]] = [[] for _ in range(GROUPS)]
    for row in rows:
        groups[row[0]].append(row)
    return groups
