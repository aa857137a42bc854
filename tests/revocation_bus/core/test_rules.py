"""Rules in hourly buckets against plain sets; readers while the writer writes."""

from __future__ import annotations

import copy
import sys
import threading
from collections.abc import Callable, Iterator
from hashlib import sha256
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin_revocation_bus.core import packed as packed_module
from tocsin_revocation_bus.core import rules as rules_module
from tocsin_revocation_bus.core.packed import PackedRows
from tocsin_revocation_bus.core.rules import CutoffRules, DigestRules
from tocsin_revocation_bus.core.state import digest_in

HOUR = 3600


@pytest.fixture(autouse=True, params=[3, 4096], ids=["packed early", "plain"])
def _sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rules fill a bucket, and two a shard, so that small examples meet every path."""
    monkeypatch.setattr(rules_module, "PLAIN", request.param)
    monkeypatch.setattr(packed_module, "_ROWS", 2)


_HOURS = st.integers(10, 13)
# Digests of one repeated byte lie across the border of two rows as well as in one.
_DIGESTS = st.sampled_from(
    [digest_in(None, str(n)) for n in range(30)] + [bytes([n]) * 16 for n in range(3)]
)
_ADDS = st.lists(st.tuples(_DIGESTS, _HOURS), max_size=80)
_CUTOFFS = st.lists(st.tuples(_DIGESTS, st.integers(1, 50), _HOURS), max_size=80)


def digests(adds: list[tuple[bytes, int]]) -> DigestRules:
    rules = DigestRules()
    for digest, hour in adds:
        rules.add(digest, hour * HOUR + 5)
    return rules


def cutoffs(adds: list[tuple[bytes, int, int]]) -> CutoffRules:
    rules = CutoffRules()
    for digest, before, hour in adds:
        rules.add(digest, before, hour * HOUR + 5)
    return rules


fixture_is_stateless = settings(max_examples=60, deadline=None)


# --- against a model ----------------------------------------------------------------------------


@fixture_is_stateless
@given(_ADDS, st.lists(_HOURS, max_size=3))
def test_digest_rules_are_a_set_for_each_hour(
    adds: list[tuple[bytes, int]], drops: list[int]
) -> None:
    rules, model = digests(adds), set(adds)
    for hour in [0, *sorted(drops)]:
        rules.drop_before(hour)
        model = {(digest, end) for digest, end in model if end >= hour}
        assert len(rules) == len(model)
        for n in range(32):
            digest = digest_in(None, str(n))
            assert (digest in rules) == any(one == digest for one, _ in model)
        rows = {
            (part[at : at + 16], end)
            for end, part in rules.hours()
            for at in range(0, len(part), 16)
        }
        assert rows == model


@fixture_is_stateless
@given(_CUTOFFS, st.lists(_HOURS, max_size=3))
def test_cutoff_rules_keep_the_highest_of_each_hour(
    adds: list[tuple[bytes, int, int]], drops: list[int]
) -> None:
    rules = cutoffs(adds)
    model: dict[tuple[bytes, int], int] = {}
    for digest, before, end in adds:
        model[digest, end] = max(before, model.get((digest, end), 0))
    for hour in [0, *sorted(drops)]:
        rules.drop_before(hour)
        model = {key: before for key, before in model.items() if key[1] >= hour}
        assert len(rules) == len(model)
        for digest, _, _ in adds:
            highest = max((b for (one, _), b in model.items() if one == digest), default=0)
            assert not highest or rules.hits(digest, highest - 1)
            assert not rules.hits(digest, highest)


_NAMED = st.lists(st.tuples(st.integers(0, 9), _HOURS, st.booleans()), max_size=30)


@pytest.mark.parametrize("kind", [DigestRules, CutoffRules])
@fixture_is_stateless
@given(_NAMED, st.lists(_HOURS, max_size=3), st.booleans())
def test_names_hide_no_rule(
    kind: Any, adds: list[tuple[int, int, bool]], drops: list[int], all_named: bool
) -> None:
    """They may point at a rule that is not there, but where they know all of an hour's rules."""
    rules, model = kind(), set[tuple[int, int, bool]]()
    for n, hour, named in adds:
        named = named or all_named
        value = () if kind is DigestRules else (n + 1,)
        name = str(n) if named else None
        rules.add(digest_in(None, str(n)), *value, hour * HOUR + 5, name)
        model.add((n, hour, named))
    for hour in [0, *sorted(drops)]:
        rules.drop_before(hour)
        model = {one for one in model if one[1] >= hour}
        there = {n for n, _, _ in model}
        asked = {n for n in range(12) if rules.may_hit(str(n))}
        assert there <= asked
        ends = [end for end, _ in {(end, n) for n, end, _ in model}]
        if all(named for _, _, named in model) and len(ends) <= rules_module.PLAIN:
            assert there == asked


@pytest.mark.parametrize("kind", [DigestRules, CutoffRules])
def test_rules_that_were_loaded_have_no_names_until_their_hour_is_over(kind: Any) -> None:
    rules = kind()
    rules.load(10, [b"d" * (16 + kind.VALUE_LENGTH)])
    rules.add(b"e" * 16, *() if kind is DigestRules else (1,), 11 * HOUR, "e")
    assert rules.may_hit("anybody")
    rules.drop_before(11)
    assert rules.may_hit("e")
    assert not rules.may_hit("anybody")


@fixture_is_stateless
@given(_ADDS, st.randoms(use_true_random=False))
def test_the_canonical_form_of_digests_does_not_depend_on_their_order(
    adds: list[tuple[bytes, int]], random: Random
) -> None:
    one = digests(adds)
    list(one.canonical())  # asked for in between, as a tick does
    shuffled = [*adds, *adds[:5]]
    random.shuffle(shuffled)
    two = digests(shuffled)
    for digest, hour in adds[:5]:
        one.add(digest, hour * HOUR)
    assert list(one.canonical()) == list(two.canonical())
    one.add(b"someone else, 16", 12 * HOUR)
    assert list(one.canonical()) != list(two.canonical())
    two.add(b"someone else, 16", 12 * HOUR)
    assert list(one.canonical()) == list(two.canonical())


@fixture_is_stateless
@given(_CUTOFFS, st.randoms(use_true_random=False))
def test_the_canonical_form_of_cutoffs_does_not_depend_on_their_order(
    adds: list[tuple[bytes, int, int]], random: Random
) -> None:
    shuffled = [*adds, *adds[:5]]
    random.shuffle(shuffled)
    one, two = cutoffs(adds), cutoffs(shuffled)
    assert list(one.canonical()) == list(two.canonical())
    for digest, before, hour in adds:
        one.add(digest, before + 100, hour * HOUR)
        assert list(one.canonical()) != list(two.canonical())
        two.add(digest, before + 100, hour * HOUR)
        assert list(one.canonical()) == list(two.canonical())
        break


@fixture_is_stateless
@given(_ADDS, _CUTOFFS)
def test_what_was_loaded_is_what_was_written(
    adds: list[tuple[bytes, int]], more: list[tuple[bytes, int, int]]
) -> None:
    for rules in (digests(adds), cutoffs(more)):
        again = type(rules)()
        width = 16 + rules.VALUE_LENGTH
        parts: dict[int, bytes] = {}
        for hour, part in rules.hours():
            parts[hour] = parts.get(hour, b"") + part
        for hour, joined in parts.items():
            rows = [joined[at : at + width] for at in range(0, len(joined), width)]
            assert rows == sorted(rows)
            again.load(hour, rows)
        assert list(again.canonical()) == list(rules.canonical())
        assert len(again) == len(rules)
        assert all(digest in again for digest, _ in adds if isinstance(again, DigestRules))


# --- the packed table ---------------------------------------------------------------------------


@pytest.mark.parametrize("value_length", [0, 8])
def test_a_table_grows_by_single_shards_and_loses_nothing(value_length: int) -> None:
    table, kept = PackedRows(value_length), set()
    for n in range(5000):
        digest = digest_in(None, str(n))
        table.put(digest, n.to_bytes(8)[:value_length])
        kept.add(digest)
        assert table.get(digest) == n.to_bytes(8)[:value_length]
    assert len(table) == len(kept)
    assert all(table.get(digest) is not None for digest in kept)
    assert not any(table.get(digest_in(None, f"no {n}")) for n in range(5000))
    filled = PackedRows(value_length)
    filled.fill([digest_in(None, str(n)) + n.to_bytes(8)[:value_length] for n in range(5000)])
    assert list(filled.sorted([])) == list(table.sorted([]))
    filled.put(digest_in(None, "another"), bytes(value_length))
    assert filled.get(digest_in(None, "another")) == bytes(value_length)
    assert len(filled) == 5001


def test_bytes_across_two_rows_are_no_rule() -> None:
    """All in one shard at first: what begins inside a row and ends in the next one is none."""
    table, group = PackedRows(8), bytes([7])
    rows = [group * 3 + digest_in(None, str(n))[:13] for n in range(40)]
    for row in rows:
        table.put(row, group * 8)
    joined = b"".join(row + group * 8 for row in rows)
    for at in range(len(joined) - 16):
        digest = joined[at : at + 16]
        assert (table.get(digest) is not None) == (digest in rows)
    table.put(group * 16, bytes(8))
    assert table.get(group * 16) == bytes(8)
    assert len(table) == len(rows) + 1


def test_freeing_goes_in_steps_and_a_late_reader_misses() -> None:
    table = PackedRows()
    for n in range(3000):
        table.put(digest_in(None, str(n)))
    steps = list(table.dismantle())
    assert len(steps) > 5
    assert max(steps) < sum(steps) / 5
    assert table.get(digest_in(None, "1")) is None


def test_what_ended_is_freed_while_others_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules_module, "PLAIN", 3)
    rules = DigestRules()
    for n in range(3000):
        rules.add(digest_in(None, str(n)), 10 * HOUR)
    rules.drop_before(11)
    assert len(rules) == 0
    assert digest_in(None, "2999") not in rules
    waiting = rules._ended
    assert waiting
    for n in range(3000):
        rules.add(digest_in(None, str(n)), 12 * HOUR)
    assert not waiting
    rules.tidy()


# --- readers while the writer writes ------------------------------------------------------------


@pytest.fixture
def fast_switching() -> Iterator[None]:
    """Threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def read_while(write: Callable[[], object], read: Callable[[], object]) -> None:
    """Raises what the reader raised; the writer goes on until it is done."""
    done, errors = threading.Event(), []

    def run() -> None:
        try:
            while not done.is_set():
                read()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    write()
    done.set()
    thread.join()
    if errors:
        raise errors[0]


def test_no_reader_misses_a_rule_while_the_table_grows(fast_switching: None) -> None:
    rules, limits = DigestRules(), CutoffRules()
    known = [digest_in(None, f"known {n}") for n in range(300)]
    for digest in known:
        rules.add(digest, 10 * HOUR)
        limits.add(digest, 7, 10 * HOUR)

    def write() -> None:
        for n in range(6000):
            rules.add(digest_in(None, str(n)), (10 + n % 2) * HOUR)
            limits.add(digest_in(None, str(n)), 7, (10 + n % 2) * HOUR)

    def read() -> None:
        for digest in known:
            assert digest in rules
            assert limits.hits(digest, 6)
            assert not limits.hits(digest, 7)
        assert digest_in(None, "never") not in rules

    read_while(write, read)


def test_a_reader_survives_the_end_of_what_it_reads(fast_switching: None) -> None:
    rules = DigestRules()

    def write() -> None:
        for hour in range(10, 40):
            for n in range(300):
                rules.add(digest_in(None, f"{hour} {n}"), hour * HOUR)
            rules.drop_before(hour - 1)

    def read() -> None:
        for n in range(50):
            assert digest_in(None, f"never {n}") not in rules

    read_while(write, read)


def test_a_miss_during_a_split_is_looked_at_again() -> None:
    """The writer splits the very shard that the reader is about to search."""
    moved: list[int] = []

    class Shards(list[Any]):
        """Lets the writer in between the choice of a shard and the look into it."""

        def __getitem__(self, place: Any) -> Any:
            if not moved and isinstance(place, int):
                moved.append(place)
                for n in range(1000, 1140):
                    PackedRows.put(table, digest_in(None, str(n)))
            return super().__getitem__(place)

    lost = 0
    for place in range(256):
        moved.clear()
        table = PackedRows()
        for n in range(512):
            table.put(digest_in(None, str(n)))
        reads = [digest_in(None, str(n)) for n in range(512) if digest_in(None, str(n))[0] == place]
        for digest in reads[:1]:
            before = table._shards[:]
            table._shards = Shards(table._shards)
            assert table.get(digest) is not None
            assert moved
            lost += digest not in table._shards[moved[0]] and digest in before[moved[0]]
    assert lost  # rows did move away under the reader


def test_at_no_step_of_a_split_is_a_row_missing() -> None:
    """A reader comes after each single change that the writer makes."""
    table, kept, steps = PackedRows(), [digest_in(None, str(n)) for n in range(900)], 0

    class Watched(list[Any]):
        def look(self) -> None:
            nonlocal steps
            steps += 1
            assert all(table.get(digest) is not None for digest in kept[:have])

        def append(self, shard: Any) -> None:
            super().append(shard)
            self.look()

        def __setitem__(self, place: Any, shard: Any) -> None:
            super().__setitem__(place, shard)
            self.look()

    have = 500
    for digest in kept[:have]:
        table.put(digest)
    table._shards = Watched(table._shards)
    for digest in kept[have:]:
        table.put(digest)
        have += 1
    assert steps > 500


@pytest.mark.parametrize("value", [False, True], ids=["digests", "cutoffs"])
def test_a_status_page_does_not_spoil_the_digest_of_a_group(
    value: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread works out the canonical form; the writer changes a group in the middle."""
    hour = 10 * HOUR
    names = [digest_in(None, str(n)) for n in range(rules_module.PLAIN + 40)]

    def add(rules: Any, digest: bytes, before: int) -> None:
        rules.add(digest, *([before] if value else []), hour)

    kind: Any = CutoffRules if value else DigestRules
    rules, expected = kind(), kind()
    for digest in names:
        add(rules, digest, 5)
        add(expected, digest, 5)
    add(expected, digest_in(None, "late"), 9)
    add(expected, names[0], 9)  # a cutoff in the plain part
    calls = 0

    def interrupted(data: bytes) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:  # the groups that follow are read after this, and counted before it
            add(rules, digest_in(None, "late"), 9)
            add(rules, names[0], 9)
        return sha256(data)

    monkeypatch.setattr(packed_module, "sha256", interrupted)
    list(rules.canonical())
    monkeypatch.setattr(packed_module, "sha256", sha256)
    assert calls > 1
    assert list(rules.canonical()) == list(expected.canonical())


@pytest.mark.parametrize("value", [False, True], ids=["digests", "cutoffs"])
def test_seals_are_worked_out_ahead_in_bounded_steps(
    value: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = 0

    def counted(data: bytes) -> Any:
        nonlocal hashed
        hashed += 1
        return sha256(data)

    monkeypatch.setattr(packed_module, "sha256", counted)
    monkeypatch.setattr(packed_module, "_SEALED_AT_ONCE", 400)
    kind: Any = CutoffRules if value else DigestRules
    rules, expected = kind(), kind()

    def add(name: str, before: int, hour: int) -> None:
        for one in (rules, expected):
            digest = sha256(name.encode()).digest()[:16]
            one.add(digest, *([before] if value else []), hour * HOUR)

    def steps() -> list[int]:
        nonlocal hashed
        found: list[int] = []
        while True:
            hashed = 0
            rules.seal_some()
            if not hashed:
                return found
            found.append(hashed)

    for number in range(rules_module.PLAIN + 2560):
        add(str(number), 5, 10)
    of_one_hour = steps()
    assert sum(of_one_hour) == packed_module.GROUPS
    assert max(of_one_hour) <= 40
    for number in range(rules_module.PLAIN + 300):
        add(str(number), 5, 11)
    add("0", 9, 10)  # a cutoff in the plain part
    assert sum(steps()) == packed_module.GROUPS + value
    hashed = 0
    found = list(rules.canonical())
    assert hashed == 0, "nothing is left for the tick to do"
    assert found == list(expected.canonical())


def test_rules_are_not_copied() -> None:
    """A copy would go on asking the original's names, and miss rules that it has."""
    with pytest.raises(TypeError):
        copy.deepcopy(DigestRules())
