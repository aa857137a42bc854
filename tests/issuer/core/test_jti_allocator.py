"""Each id once, from a lane that is one process's alone for one hour."""

import random
from collections.abc import Callable
from itertools import pairwise

import pytest

from tocsin_issuer.core.jti_allocator import BLOCK, JtiAllocator
from tocsin_schemas import jti

NOON = 490_000 * 3600


def place_of(text: str) -> jti.Place:
    place = jti.parse(text)
    assert place is not None
    return place


@pytest.fixture
def randomness() -> Callable[[int], bytes]:
    return random.Random(7).randbytes


def test_a_block_is_handed_out_whole_and_shuffled(randomness: Callable[[int], bytes]) -> None:
    allocator = JtiAllocator(randomness)
    places = [place_of(allocator.allocate(NOON, 1)) for _ in range(2 * BLOCK + 1)]
    counters = [jti.counter_of(place) for place in places]
    assert len({jti.lane_of(place) for place in places}) == 1
    assert sorted(counters[:BLOCK]) == list(range(BLOCK))
    assert sorted(counters[BLOCK : 2 * BLOCK]) == list(range(BLOCK, 2 * BLOCK))
    assert 2 * BLOCK <= counters[-1] < 3 * BLOCK
    assert counters[:BLOCK] != sorted(counters[:BLOCK])
    rising = sum(a < b for a, b in pairwise(counters[:BLOCK]))
    assert 0.48 < rising / BLOCK < 0.52


def test_a_lane_is_of_its_hour(randomness: Callable[[int], bytes]) -> None:
    allocator = JtiAllocator(randomness)
    for now in (NOON, NOON + 3599, NOON + 3600, NOON - 1):
        lane = jti.lane_of(place_of(allocator.allocate(now, 1)))
        assert jti.hour_of(lane) == now // 3600
        assert jti.issued_in_lane(lane, now)


def test_a_child_draws_a_lane_of_its_own(randomness: Callable[[int], bytes]) -> None:
    allocator = JtiAllocator(randomness)
    parents = {jti.lane_of(place_of(allocator.allocate(NOON, 1))) for _ in range(3)}
    childs = {jti.lane_of(place_of(allocator.allocate(NOON, 2))) for _ in range(3)}
    assert len(parents) == len(childs) == 1
    assert parents.isdisjoint(childs)


def test_the_last_counter_is_followed_by_a_new_lane(randomness: Callable[[int], bytes]) -> None:
    allocator = JtiAllocator(randomness)
    first = jti.lane_of(place_of(allocator.allocate(NOON, 1)))
    allocator._base = (1 << 32) - BLOCK
    counters = [place_of(allocator.allocate(NOON, 1)) for _ in range(BLOCK)]
    assert max(jti.counter_of(place) for place in counters) < 1 << 32
    assert jti.lane_of(counters[-1]) != first
    assert jti.counter_of(counters[-1]) < BLOCK


def test_two_ids_differ_in_their_random_bits(randomness: Callable[[int], bytes]) -> None:
    allocator = JtiAllocator(randomness)
    tails = {allocator.allocate(NOON, 1)[-6:] for _ in range(1000)}
    assert len(tails) == 1000
