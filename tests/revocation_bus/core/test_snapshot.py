"""The snapshot's form: canonical, complete, and strict against bytes that no sequencer wrote."""

from __future__ import annotations

import struct
from collections.abc import Callable
from random import Random
from time import process_time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from tocsin_revocation_bus.core import packed as packed_module
from tocsin_revocation_bus.core import rules as rules_module
from tocsin_revocation_bus.core import snapshot
from tocsin_revocation_bus.core.lanes import Lanes
from tocsin_revocation_bus.core.rules import CutoffRules, DigestRules
from tocsin_revocation_bus.core.snapshot import Rules
from tocsin_revocation_bus.core.state import digest_in
from tocsin_schemas import jti
from tocsin_schemas.errors import DocumentRejected

HOUR = 3600
Rule = tuple[str, int, int, int]

_RULES: st.SearchStrategy[list[Rule]] = st.lists(
    st.tuples(
        st.sampled_from(["lane", "foreign", "session", "subject", "client", "all", "key", "iss"]),
        st.integers(0, 40) | st.integers(0, 2**32 - 1),
        st.integers(10, 13),
        st.integers(0, 2**40),
    ),
    max_size=60,
)


@pytest.fixture(autouse=True)
def _small_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rules fill a bucket, and two a shard, so that small examples are packed too."""
    monkeypatch.setattr(rules_module, "PLAIN", 3)
    monkeypatch.setattr(packed_module, "_ROWS", 2)


def made_of(rules: list[Rule]) -> Rules:
    lanes, foreign, sessions = Lanes(), DigestRules(), DigestRules()
    subjects, clients, everything = CutoffRules(), CutoffRules(), CutoffRules()
    keys: set[str] = set()
    imports: dict[str, bytes] = {}
    for kind, number, hour, before in rules:
        digest, until = digest_in(None, str(number)), hour * HOUR + 7
        match kind:
            case "lane":
                lanes.add(jti.place(jti.lane(10 + number % 3, b"lane-0001"), number), until)
            case "foreign":
                foreign.add(digest, until)
            case "session":
                sessions.add(digest, until)
            case "subject":
                subjects.add(digest, before, until)
            case "client":
                clients.add(digest, before, until)
            case "all":
                everything.add(bytes(16), before, until)
            case "key":
                keys.add(f"{number:-<43}")
            case _:
                imports[f"https://{number % 5}.example/\U0001f514"] = b"{}" * (number % 5)
    return Rules(
        1_700_000_000,
        lanes,
        foreign,
        sessions,
        subjects,
        clients,
        everything,
        frozenset(keys),
        imports,
    )


def text_of(rules: Rules) -> bytes:
    return b"".join(snapshot.dump(rules))


def forms(rules: Rules) -> list[list[bytes]]:
    return [list(rules.lanes.canonical()), *(list(one.canonical()) for one in rules.hourly)]


def refused(load: Callable[[bytes], object], text: bytes) -> bool:
    try:
        load(text)
    except DocumentRejected as rejected:
        assert rejected.code == "snapshot_malformed"
        return True
    return False


# --- round trip ---------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(_RULES)
def test_what_is_read_is_what_was_written(rules: list[Rule]) -> None:
    written = made_of(rules)
    read = snapshot.load(text_of(written))
    assert forms(read) == forms(written)
    assert text_of(read) == text_of(written)
    assert read.latest_iat == written.latest_iat
    assert read.revoked_keys == written.revoked_keys
    assert read.imports == written.imports
    for kind, number, _, before in rules:
        digest = digest_in(None, str(number))
        match kind:
            case "lane":
                assert jti.place(jti.lane(10 + number % 3, b"lane-0001"), number) in read.lanes
            case "foreign":
                assert digest in read.foreign
            case "session":
                assert digest in read.sessions
            case "subject":
                assert read.subjects.hits(digest, before - 1) or not before


@settings(max_examples=60, deadline=None)
@given(_RULES, st.randoms(use_true_random=False))
def test_the_bytes_do_not_depend_on_the_history(rules: list[Rule], random: Random) -> None:
    shuffled = [*rules, *rules[:9]]
    random.shuffle(shuffled)
    again = snapshot.load(text_of(made_of(shuffled[: len(shuffled) // 2])))
    assert text_of(made_of(shuffled)) == text_of(made_of(rules))
    merged = made_of(rules)
    for name, until, counters in again.lanes.bitmaps():  # read, then added to
        for counter in counters:
            merged.lanes.add(jti.place(name, counter), until)
    assert text_of(merged) == text_of(made_of(rules))


def test_runs_arrays_and_bitmaps_have_one_form() -> None:
    counters = [*range(70_000), *range(200_000, 202_000), *range(300_000, 400_000, 7)]
    single, bulk, optimised = BitMap(), BitMap(counters), BitMap(counters, optimize=False)
    for counter in Random(3).sample(counters, len(counters)):
        single.add(counter)
    optimised.run_optimize()
    texts = {snapshot.dump_counters(one) for one in (single, bulk, optimised)}
    assert len(texts) == 1
    text = texts.pop()
    assert len(text) <= 2 * len(counters)
    assert snapshot.load_counters(text) == single
    assert snapshot.dump_counters(snapshot.load_counters(text)) == text


def test_ten_thousand_revoked_of_a_million_take_two_bytes_each() -> None:
    rules = made_of([])
    for counter in Random(1).sample(range(1_000_000), 10_000):
        rules.lanes.add(jti.place(jti.lane(10, b"lane-0001"), counter), 11 * HOUR)
    assert len(text_of(rules)) < 2.1 * 10_000


# --- hostile bytes ------------------------------------------------------------------------------

_SOME = made_of(
    [
        (kind, number, hour, 5)
        for kind in ("lane", "foreign", "session", "subject", "client", "all", "key", "iss")
        for number in range(5)
        for hour in (10, 11)
    ]
)
_TEXT = text_of(_SOME)


def test_every_truncation_and_every_extension_is_refused() -> None:
    for length in range(len(_TEXT)):
        assert refused(snapshot.load, _TEXT[:length])
    assert refused(snapshot.load, _TEXT + b"\0")
    assert refused(snapshot.load, _TEXT + _TEXT)


@settings(max_examples=400, deadline=None)
@given(st.integers(0, len(_TEXT) - 1), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_means_something_else(place: int, flip: int) -> None:
    """What is accepted is exactly what would be written: one text for each set of rules."""
    changed = bytearray(_TEXT)
    changed[place] ^= flip
    if not refused(snapshot.load, bytes(changed)):
        assert text_of(snapshot.load(bytes(changed))) == changed


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
@example(snapshot.MAGIC + bytes(8) + b"\xff\xff\xff\xff" * 10)
def test_noise_is_refused(noise: bytes) -> None:
    assert refused(snapshot.load, noise)
    assert refused(snapshot.load, snapshot.MAGIC + bytes(8) + noise)


def test_a_count_beyond_the_text_costs_nothing() -> None:
    began = process_time()
    for place in range(len(snapshot.MAGIC) + 8, len(_TEXT) - 4):
        refused(snapshot.load, _TEXT[:place] + b"\xff\xff\xff\xff" + _TEXT[place + 4 :])
    assert process_time() - began < 5


def hourly_text(hours: list[tuple[int, list[bytes]]], section: int = 0) -> bytes:
    empty = struct.pack(">I", 0)
    body = struct.pack(">I", len(hours)) + b"".join(
        struct.pack(">II", hour, len(rows)) + b"".join(rows) for hour, rows in hours
    )
    sections = [empty] * section + [body] + [empty] * (4 - section)
    return snapshot.MAGIC + bytes(8) + empty + b"".join(sections) + empty * 2


A, B = b"a" * 16, b"b" * 16
T = (5).to_bytes(8)


@pytest.mark.parametrize(
    ("section", "hours", "good"),
    [
        (0, [(10, [A, B]), (11, [A])], True),
        (0, [(10, [B, A])], False),  # not sorted: there would be two texts
        (0, [(10, [A, A])], False),  # twice: the count would lie
        (0, [(11, [A]), (10, [A])], False),
        (0, [(10, [A]), (10, [B])], False),
        (0, [(10, [])], False),
        (0, [(2**32 - 1, [A])], False),  # an hour that no rule can end in
        (2, [(10, [A + T, B + T])], True),
        (2, [(10, [A + T, A + T])], False),
        (2, [(10, [A + T, A + (6).to_bytes(8)])], False),  # one identifier, two cutoffs
        (2, [(10, [B + T, A + T])], False),
        (2, [(10, [A + (2**63).to_bytes(8)])], False),
    ],
)
def test_hours_and_rows_ascend(
    section: int, hours: list[tuple[int, list[bytes]]], good: bool
) -> None:
    text = hourly_text(hours, section)
    assert refused(snapshot.load, text) != good
    if good:
        assert text_of(snapshot.load(text)) == text


def lanes_text(lanes: list[tuple[bytes, int, bytes]]) -> bytes:
    body = b"".join(
        name + until.to_bytes(8) + struct.pack(">I", len(text)) + text
        for name, until, text in lanes
    )
    return snapshot.MAGIC + bytes(8) + struct.pack(">I", len(lanes)) + body + bytes(4 * 7)


def test_lanes_ascend() -> None:
    counters = snapshot.dump_counters(BitMap([1, 5]))
    one, two = (jti.lane(10, b"lane-000" + name) for name in (b"1", b"2"))
    assert not refused(snapshot.load, lanes_text([(one, 9, counters), (two, 9, counters)]))
    assert refused(snapshot.load, lanes_text([(two, 9, counters), (one, 9, counters)]))
    assert refused(snapshot.load, lanes_text([(one, 9, counters), (one, 9, counters)]))
    assert refused(snapshot.load, lanes_text([(one, 2**41, counters)]))
    assert refused(snapshot.load, lanes_text([(one, 9, snapshot.dump_counters(BitMap()))]))


@pytest.mark.parametrize("keys", [["b" * 43, "a" * 43], ["a" * 43] * 2, ["a" * 42 + "+"]])
def test_keys_ascend_and_are_thumbprints(keys: list[str]) -> None:
    head = hourly_text([(10, [A])])[:-8]
    text = head + struct.pack(">I", len(keys)) + "".join(keys).encode() + bytes(4)
    assert refused(snapshot.load, text)
    good = sorted({key.replace("+", "_") for key in keys})
    text = head + struct.pack(">I", len(good)) + "".join(good).encode() + bytes(4)
    assert snapshot.load(text).revoked_keys == set(good)


# --- hostile bitmaps ----------------------------------------------------------------------------


def container(values: list[int]) -> bytes:
    return struct.pack(f"<{len(values)}H", *values)


def bitmap_text(
    containers: list[tuple[int, int, bytes]], *, cookie: int = 12346, shift: int = 0
) -> bytes:
    """``containers`` are key, count and content."""
    at = 8 + 8 * len(containers)
    heads, offsets, bodies = b"", b"", b""
    for key, count, content in containers:
        heads += struct.pack("<HH", key, count - 1)
        offsets += struct.pack("<I", at + len(bodies) + shift)
        bodies += content
    return struct.pack("<II", cookie, len(containers)) + heads + offsets + bodies


_FULL = b"\xff" * 8192


@pytest.mark.parametrize(
    ("text", "good"),
    [
        pytest.param(
            bitmap_text([(0, 2, container([1, 5])), (3, 1, container([9]))]), True, id="good"
        ),
        pytest.param(bitmap_text([(0, 65536, _FULL)]), True, id="a full bitmap"),
        pytest.param(bitmap_text([(0, 2, container([5, 1]))]), False, id="unsorted"),
        pytest.param(bitmap_text([(0, 2, container([5, 5]))]), False, id="twice"),
        pytest.param(
            bitmap_text([(3, 1, container([9])), (0, 1, container([1]))]), False, id="keys fall"
        ),
        pytest.param(
            bitmap_text([(3, 1, container([9])), (3, 1, container([10]))]), False, id="a key twice"
        ),
        pytest.param(bitmap_text([(0, 5000, _FULL)]), False, id="more bits than said"),
        pytest.param(
            bitmap_text([(0, 65536, b"\xff" * 4096 + bytes(4096))]),
            False,
            id="fewer bits than said",
        ),
        pytest.param(
            bitmap_text([(0, 4096, b"\xff" * 512 + bytes(7680))]), False, id="a bitmap for few"
        ),
        pytest.param(bitmap_text([(0, 2, container([1]))]), False, id="too short"),
        pytest.param(bitmap_text([(0, 1, container([1, 2]))]), False, id="too long"),
        pytest.param(bitmap_text([(0, 1, container([1]))], shift=2), False, id="a wrong offset"),
        pytest.param(bitmap_text([(0, 1, container([1]))], cookie=12347), False, id="runs"),
        pytest.param(BitMap(range(100)).serialize(), False, id="real runs"),
        pytest.param(bitmap_text([]), False, id="empty"),
        pytest.param(struct.pack("<II", 12346, 2**31), False, id="a huge count"),
        pytest.param(b"", False, id="nothing"),
    ],
)
def test_bitmaps_are_checked_before_they_are_believed(text: bytes, good: bool) -> None:
    assert refused(snapshot.load_counters, text) != good
    if good:
        assert snapshot.dump_counters(snapshot.load_counters(text)) == text
