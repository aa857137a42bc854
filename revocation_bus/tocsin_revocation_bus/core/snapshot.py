"""All rules of a state as bytes, and back: the form of a snapshot, not its signature.

The bytes follow from the rules alone, however those came. Big-endian, lengths and counts before
what they count, names and hours in ascending order::

    magic · latest iat u64
    lanes     u32 × (name 12 · until u64 · u32 length · counters)
    foreign, sessions, subjects, clients, everything, each
              u32 hours × (hour u32 · u32 rows × (digest 16, of a cutoff also before u64))
    keys      u32 × thumbprint 43
    imports   u32 × (u32 length · issuer · u32 length · text)

Reading is strict: what :func:`dump` would not write is refused, in time and memory linear in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from operator import lt
from re import compile as pattern
from typing import NamedTuple, TypeVar

from pyroaring import BitMap

from tocsin_revocation_bus.core.lanes import Lanes
from tocsin_revocation_bus.core.packed import DIGEST_LENGTH
from tocsin_revocation_bus.core.rules import HOUR_S, CutoffRules, DigestRules
from tocsin_schemas.errors import DocumentRejected
from tocsin_schemas.jti import LANE_LENGTH

MAGIC = b"tocsin-rules-1\n"
_LAST_SECOND = 2**40  # as in the events
_LAST_HOUR = _LAST_SECOND // HOUR_S
_THUMBPRINT_LENGTH = 43
_THUMBPRINT = pattern(r"[A-Za-z0-9_-]{43}")
_LONGEST_NAME = 4096  # bytes: 1024 characters
_LONGEST_IMPORT = 1 << 20

AnyRules = TypeVar("AnyRules", DigestRules, CutoffRules)


class Rules(NamedTuple):
    """What a state holds. ``latest_iat`` is in seconds of UTC; ``imports`` are texts by issuer."""

    latest_iat: int
    lanes: Lanes
    foreign: DigestRules
    sessions: DigestRules
    subjects: CutoffRules
    clients: CutoffRules
    everything: CutoffRules
    revoked_keys: frozenset[str]
    imports: Mapping[str, bytes]

    @property
    def hourly(self) -> tuple[DigestRules | CutoffRules, ...]:
        """The rules in buckets, in the order in which they are written."""
        return self.foreign, self.sessions, self.subjects, self.clients, self.everything


# --- writing ------------------------------------------------------------------------------------


def dump(rules: Rules) -> Iterator[bytes]:
    """The canonical bytes, in parts: whoever writes them may do something else in between."""
    yield MAGIC + rules.latest_iat.to_bytes(8)
    bitmaps = list(rules.lanes.bitmaps())
    yield _count(len(bitmaps))
    for name, until, counters in bitmaps:
        text = dump_counters(counters)
        yield name + until.to_bytes(8) + _count(len(text)) + text
    for hourly in rules.hourly:
        yield from _dump_hours(hourly)
    yield _count(len(rules.revoked_keys)) + "".join(sorted(rules.revoked_keys)).encode("ascii")
    yield _count(len(rules.imports))
    for name, text in sorted((iss.encode(), text) for iss, text in rules.imports.items()):
        yield _count(len(name)) + name + _count(len(text)) + text


def _dump_hours(rules: DigestRules | CutoffRules) -> Iterator[bytes]:
    hours: dict[int, list[bytes]] = {}
    for hour, part in rules.hours():
        hours.setdefault(hour, []).append(part)
    yield _count(len(hours))
    width = DIGEST_LENGTH + rules.VALUE_LENGTH
    for hour, parts in hours.items():
        yield _count(hour) + _count(sum(map(len, parts)) // width)
        yield from parts


def dump_counters(counters: BitMap) -> bytes:
    """One lane's counters in the portable Roaring format, without run containers.

    Of a set of counters there is exactly one such text, whatever filled the bitmap and whichever
    version writes it. It takes at most two bytes for each, and 8 KiB for 65,536 of them.
    """
    text: bytes = BitMap(counters.to_array(), optimize=False).serialize()
    return text


def _count(number: int) -> bytes:
    return number.to_bytes(4)


# --- reading ------------------------------------------------------------------------------------


def load(text: bytes) -> Rules:
    """Read what :func:`dump` wrote, its parts joined.

    Raises:
        DocumentRejected: ``snapshot_malformed``.
    """
    reader = _Reader(text)
    if reader.take(len(MAGIC)) != MAGIC:
        raise _malformed()
    latest_iat = reader.seconds()
    lanes = _lanes(reader)
    foreign, sessions = (_hours(reader, DigestRules()) for _ in range(2))
    subjects, clients, everything = (_hours(reader, CutoffRules()) for _ in range(3))
    rules = Rules(
        latest_iat,
        lanes,
        foreign,
        sessions,
        subjects,
        clients,
        everything,
        frozenset(_keys(reader)),
        dict(_imports(reader)),
    )
    if not reader.done:
        raise _malformed()
    return rules


def load_counters(text: bytes) -> BitMap:
    """Read one lane's counters.

    The library checks that they are in order and as many as they are said to be; what else could be
    written in two ways shows when they are written again.

    Raises:
        DocumentRejected: ``snapshot_malformed``.
    """
    try:
        counters = BitMap.deserialize(text)
    except (ValueError, IndexError):  # an IndexError for no bytes at all
        raise _malformed() from None
    if not counters or dump_counters(counters) != text:
        raise _malformed()
    return counters


def _malformed() -> DocumentRejected:
    return DocumentRejected("snapshot_malformed", "the snapshot is malformed")


class _Reader:
    def __init__(self, text: bytes) -> None:
        self._text = memoryview(text)
        self._at = 0

    @property
    def done(self) -> bool:
        return self._at == len(self._text)

    def take(self, length: int) -> bytes:
        part = bytes(self._text[self._at : self._at + length])
        if len(part) != length:
            raise _malformed()
        self._at += length
        return part

    def number(self, most: int = 2**32 - 1) -> int:
        value = int.from_bytes(self.take(4))
        if value > most:
            raise _malformed()
        return value

    def seconds(self) -> int:
        value = int.from_bytes(self.take(8))
        if value > _LAST_SECOND:
            raise _malformed()
        return value

    def rows(self, count: int, width: int) -> list[bytes]:
        """Rows of one length by ascending digests; what follows a digest is a time."""
        joined = self.take(count * width)
        rows = [joined[at : at + width] for at in range(0, len(joined), width)]
        digests = rows
        if width > DIGEST_LENGTH:
            digests = [row[:DIGEST_LENGTH] for row in rows]
            if any(int.from_bytes(row[DIGEST_LENGTH:]) > _LAST_SECOND for row in rows):
                raise _malformed()
        if not all(map(lt, digests, islice(digests, 1, None))):
            raise _malformed()
        return rows


def _lanes(reader: _Reader) -> Lanes:
    lanes, previous = Lanes(), b""
    for _ in range(reader.number()):
        name, until = reader.take(LANE_LENGTH), reader.seconds()
        if name <= previous:
            raise _malformed()
        previous = name
        lanes.load(name, until, load_counters(reader.take(reader.number())))
    return lanes


def _hours(reader: _Reader, rules: AnyRules) -> AnyRules:
    width, previous = DIGEST_LENGTH + rules.VALUE_LENGTH, -1
    for _ in range(reader.number(_LAST_HOUR)):
        hour, count = reader.number(_LAST_HOUR), reader.number()
        if hour <= previous or not count:
            raise _malformed()
        previous = hour
        rules.load(hour, reader.rows(count, width))
    return rules


def _keys(reader: _Reader) -> Iterator[str]:
    previous = ""
    for _ in range(reader.number()):
        kid = reader.take(_THUMBPRINT_LENGTH).decode("latin-1")
        if kid <= previous or _THUMBPRINT.fullmatch(kid) is None:
            raise _malformed()
        previous = kid
        yield kid


def _imports(reader: _Reader) -> Iterator[tuple[str, bytes]]:
    previous = b""
    for _ in range(reader.number()):
        name = reader.take(reader.number(_LONGEST_NAME))
        if name <= previous:
            raise _malformed()
        previous = name
        try:
            iss = name.decode()
        except UnicodeDecodeError:
            raise _malformed() from None
        yield iss, reader.take(reader.number(_LONGEST_IMPORT))
