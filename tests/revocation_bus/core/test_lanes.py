"""Lanes against a model; they end without a pause, and readers need no lock."""

from __future__ import annotations

import sys
import threading
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin_revocation_bus.core import lanes as lanes_module
from tocsin_revocation_bus.core.lanes import Lanes
from tocsin_schemas import jti

HOUR = 3600

_PLACES = st.builds(
    jti.place,
    st.integers(0, 3).map(lambda n: jti.lane(10 + n, b"lane-000" + bytes([n]))),
    st.integers(0, 40) | st.integers(0, 2**32 - 1),
)
_ADDS = st.lists(st.tuples(_PLACES, st.integers(10, 14)), max_size=60)


@settings(max_examples=100, deadline=None)
@given(_ADDS, st.lists(st.integers(10, 15), max_size=3))
def test_lanes_are_a_set_for_each_lane_dropped_whole(
    adds: list[tuple[jti.Place, int]], drops: list[int]
) -> None:
    lanes = Lanes()
    model: dict[bytes, tuple[set[int], int]] = {}
    for place, hour in adds:
        lanes.add(place, hour * HOUR)
        counters, until = model.get(jti.lane_of(place), (set(), 0))
        model[jti.lane_of(place)] = counters | {jti.counter_of(place)}, max(until, hour)
    for drop in [0, *sorted(drops)]:
        lanes.drop_before(drop)
        model = {name: kept for name, kept in model.items() if kept[1] >= drop}
        assert len(lanes) == sum(len(counters) for counters, _ in model.values())
        for place, _ in adds:
            assert (place in lanes) == (
                jti.counter_of(place) in model.get(jti.lane_of(place), ((), 0))[0]
            )
        assert [(name, until // HOUR, set(bitmap)) for name, until, bitmap in lanes.bitmaps()] == [
            (name, until, counters) for name, (counters, until) in sorted(model.items())
        ]


def test_lanes_that_end_together_are_freed_bit_by_bit() -> None:
    lanes, ended = Lanes(), 1000
    for n in range(ended):
        lanes.add(jti.place(jti.lane(10, n.to_bytes(9)), 1), 11 * HOUR)
    lanes.drop_before(12)
    assert len(lanes) == 0
    assert jti.place(jti.lane(10, bytes(9)), 1) not in lanes
    waiting = lanes._ended
    assert 0 < len(waiting) < ended
    before = len(waiting)
    lanes.tidy()
    assert 0 < before - len(waiting) < 200
    for n in range(ended):  # as many new ones
        lanes.add(jti.place(jti.lane(12, n.to_bytes(9)), 1), 13 * HOUR)
    assert not waiting


def test_digests_are_worked_out_ahead_in_bounded_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[int] = []

    def counted(data: bytes) -> Any:
        hashed.append(len(data))
        return sha256(data)

    monkeypatch.setattr(lanes_module, "sha256", counted)
    monkeypatch.setattr(lanes_module, "_SEALED_AT_ONCE", 640)
    names = [jti.lane(10, n.to_bytes(9)) for n in range(60)]
    lanes, expected = Lanes(), Lanes()

    def revoke(counter: int, of: list[bytes]) -> None:
        for name in of:
            lanes.add(jti.place(name, counter), 11 * HOUR)
            expected.add(jti.place(name, counter), 11 * HOUR)

    def steps() -> list[int]:
        found: list[int] = []
        while True:
            hashed.clear()
            lanes.seal_some()
            if not hashed:
                return found
            found.append(len(hashed))

    revoke(1, names)
    assert max(steps()) <= 10
    revoke(2, names[:3])
    revoke(3, names[:1])
    assert steps() == [3], "what has changed since, each once"
    assert list(lanes.canonical()) == list(expected.canonical())
    hashed.clear()
    list(lanes.canonical())
    assert hashed == [], "nothing is left for the tick to do"


def test_no_reader_misses_a_revoked_token_while_its_lane_grows() -> None:
    lanes, name = Lanes(), jti.lane(10, b"lane-0001")
    known = [jti.place(name, n * 977) for n in range(300)]
    for place in known:
        lanes.add(place, 11 * HOUR)
    done = threading.Event()
    missed: list[jti.Place] = []

    def read() -> None:
        while not done.is_set():
            missed.extend(place for place in known if place not in lanes)
            missed.extend(place for place in [jti.place(name, 5)] if place in lanes)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=read)
    thread.start()
    for n in range(20_000):
        lanes.add(jti.place(name, 300_000 + n * 3 % 65_536), 11 * HOUR)
        if n % 50 == 0:
            lanes.add(jti.place(jti.lane(9, n.to_bytes(9)), 1), 9 * HOUR)
            lanes.drop_before(10)
    done.set()
    thread.join()
    sys.setswitchinterval(interval)
    assert not missed
