"""Rules that are not lanes, in buckets by the hour in which they end.

A bucket is a set or dict, which costs the least while rules are few. Beyond some thousands in one
hour the rest are packed, so that no step stops the verifying threads for long, not even forgetting
them: a whole bucket goes when the ledger's own time has passed its last second, and its memory is
freed bit by bit. The dicts of buckets are never changed, only replaced: verifying threads walk them
while the writer folds.

Most tokens are hit by no rule, and to work out a digest costs ten times as much as to look into a
set. So the names of the first ``PLAIN`` rules of an hour are kept beside their digests, for as long
as all of the hour's rules were given with their names.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Generic, Never, TypeAlias, TypeVar

from tocsin_revocation_bus.core.packed import DIGEST_LENGTH, PackedRows

HOUR_S = 3600
PLAIN = 4096  # rules that end in one hour and are not packed
BEFORE_LENGTH = 8

Name: TypeAlias = str | tuple[str, str]
"""An identifier; of a foreign issuer's, the issuer and the identifier."""

_NOBODY: frozenset[Name] = frozenset()

Bucket = TypeVar("Bucket", set[bytes], dict[bytes, int])


def _perhaps(name: Name) -> bool:
    return True


class _Hourly(ABC, Generic[Bucket]):
    """The buckets, and for hours with very many rules a table each for those beyond ``PLAIN``.

    An hour has a table only while its bucket is full: what is packed follows from the rules alone.
    Without ``buckets`` there are no rules, which is asked for every token. So is ``may_hit``: where
    it says False, surely no rule is for that name; otherwise its digest says.
    """

    VALUE_LENGTH: int
    may_hit: Callable[[Name], bool]

    def __init__(self) -> None:
        self.buckets: dict[int, Bucket] = {}
        self._packed: dict[int, PackedRows] = {}
        self._ended: deque[Iterator[int]] = deque()
        self._names: dict[int, set[Name]] = {}
        self._unnamed = -1  # the last hour in which a rule ends whose name is not among them
        self._names_changed()

    def __deepcopy__(self, memo: object) -> Never:
        """A copy's ``may_hit`` would go on asking ours. Rules are folded, never copied."""
        raise TypeError("rules are not copied")

    def __len__(self) -> int:
        tables = self._packed.values()
        return sum(map(len, self.buckets.values())) + sum(map(len, tables))

    def drop_before(self, hour: int) -> None:
        """Forget the rules that ended before ``hour`` (hours since the epoch)."""
        self.buckets = {end: rules for end, rules in self.buckets.items() if end >= hour}
        self._names = {end: names for end, names in self._names.items() if end >= hour}
        if self._unnamed < hour:
            self._unnamed = -1
        self._names_changed()
        if self._packed:
            tables = self._packed
            self._packed = {end: table for end, table in tables.items() if end >= hour}
            self._ended += [table.dismantle() for end, table in tables.items() if end < hour]
        self.tidy()

    def tidy(self) -> None:
        """Free some of what has ended: a step of bounded length."""
        if self._ended and not next(self._ended[0], 0):
            self._ended.popleft()

    def seal_some(self) -> None:
        """Work out some of the hashes that the canonical form will ask for: a bounded step."""
        for hour, table in self._packed.items():
            if table.seal_some(partial(self._rows_of, self.buckets[hour])):
                return

    def canonical(self) -> Iterator[bytes]:
        """The canonical form, sorted; of an hour with very many rules, the hashes of their groups.

        It depends on the rules alone, not on the order in which they came.
        """
        tables, buckets = self._packed, self.buckets
        for hour, bucket in sorted(buckets.items(), key=lambda item: item[0]):
            name, table = hour.to_bytes(4), tables.get(hour)
            if table is None:
                for row in sorted(self._rows_of(bucket)):
                    yield name + row
            else:
                for group, seal in enumerate(table.seals(partial(self._rows_of, bucket))):
                    yield name + bytes([group]) + seal

    def hours(self) -> Iterator[tuple[int, bytes]]:
        """Each hour with its rows (a digest and perhaps a value), sorted and joined, in parts."""
        tables, buckets = self._packed, self.buckets
        for hour, bucket in sorted(buckets.items(), key=lambda item: item[0]):
            table, rows = tables.get(hour), self._rows_of(bucket)
            if table is None:
                yield hour, b"".join(sorted(rows))
            else:
                for part in table.sorted(rows):
                    yield hour, part

    def load(self, hour: int, rows: Sequence[bytes]) -> None:
        """Take over all rules of an hour that has none yet; their digests are distinct."""
        self._note(hour, None)
        self.buckets = {**self.buckets, hour: self._bucket_of(rows[:PLAIN])}
        if len(rows) > PLAIN:
            self._table(hour).fill(rows[PLAIN:])

    @abstractmethod
    def _rows_of(self, bucket: Bucket) -> list[bytes]: ...

    @abstractmethod
    def _bucket_of(self, rows: Sequence[bytes]) -> Bucket: ...

    def _note(self, hour: int, name: Name | None) -> None:
        """Before the rule itself: a name that is missing would hide it."""
        names = self._names.get(hour)
        if names is None:
            self._names = {**self._names, hour: (names := set())}
            self._names_changed()
        if name is not None and (len(names) < PLAIN or name in names):
            names.add(name)
        elif hour > self._unnamed:
            self._unnamed = hour
            self._names_changed()

    def _names_changed(self) -> None:
        """Mostly there are rules that end in one hour, or none: then a set answers by itself."""
        if self._unnamed >= 0:
            self.may_hit = _perhaps
        elif len(self._names) <= 1:
            self.may_hit = next(iter(self._names.values()), _NOBODY).__contains__
        else:
            self.may_hit = self._is_named

    def _is_named(self, name: Name) -> bool:
        return any(name in names for names in self._names.values())

    def _pack(self, hour: int, digest: bytes, value: bytes = b"") -> None:
        if self._table(hour).put(digest, value):
            self.tidy()  # what grows frees what has ended, and faster than it grows

    def _table(self, hour: int) -> PackedRows:
        table = self._packed.get(hour)
        if table is None:
            table = PackedRows(self.VALUE_LENGTH)
            self._packed = {**self._packed, hour: table}
        return table


class DigestRules(_Hourly[set[bytes]]):
    """Revoked identifiers."""

    VALUE_LENGTH = 0

    def add(self, digest: bytes, until: int, name: Name | None = None) -> None:
        """Revoke an identifier until ``until`` (seconds of UTC), or a little longer."""
        hour = until // HOUR_S
        self._note(hour, name)
        if hour not in self.buckets:
            self.buckets = {**self.buckets, hour: set()}
        bucket = self.buckets[hour]
        if len(bucket) < PLAIN:
            bucket.add(digest)
        elif digest not in bucket:
            self._pack(hour, digest)

    def hits(self, digest: bytes) -> bool:
        """Whether an identifier is revoked; a method is called faster than ``in``."""
        for bucket in self.buckets.values():
            if digest in bucket:
                return True
        if self._packed:
            for table in self._packed.values():
                if table.get(digest) is not None:
                    return True
        return False

    __contains__ = hits

    def _rows_of(self, bucket: set[bytes]) -> list[bytes]:
        return list(bucket)

    def _bucket_of(self, rows: Sequence[bytes]) -> set[bytes]:
        return set(rows)


class CutoffRules(_Hourly[dict[bytes, int]]):
    """Cutoffs: whatever was issued to the identifier before a time is revoked."""

    VALUE_LENGTH = BEFORE_LENGTH

    def add(self, digest: bytes, before: int, until: int, name: Name | None = None) -> None:
        """Revoke what was issued before ``before``; both times are seconds of UTC."""
        hour = until // HOUR_S
        self._note(hour, name)
        if hour not in self.buckets:
            self.buckets = {**self.buckets, hour: {}}
        bucket, table = self.buckets[hour], self._packed.get(hour)
        if len(bucket) < PLAIN or digest in bucket:
            if before > bucket.get(digest, -1):
                bucket[digest] = before
                if table is not None:
                    table.changes[digest[0]] += 1
            return
        known = None if table is None else table.get(digest)
        if known is None or int.from_bytes(known) < before:
            self._pack(hour, digest, before.to_bytes(BEFORE_LENGTH))

    def hits(self, digest: bytes, iat: int) -> bool:
        """Whether a token issued at ``iat`` is before a cutoff."""
        for bucket in self.buckets.values():
            if iat < bucket.get(digest, 0):
                return True
        if self._packed:
            for table in self._packed.values():
                before = table.get(digest)
                if before is not None and iat < int.from_bytes(before):
                    return True
        return False

    def _rows_of(self, bucket: dict[bytes, int]) -> list[bytes]:
        rows = list(bucket.items())
        return [digest + before.to_bytes(BEFORE_LENGTH) for digest, before in rows]

    def _bucket_of(self, rows: Sequence[bytes]) -> dict[bytes, int]:
        return {row[:DIGEST_LENGTH]: int.from_bytes(row[DIGEST_LENGTH:]) for row in rows}
