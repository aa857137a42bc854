"""How long entries waited: each is counted once, in the right place."""

from __future__ import annotations

from tests.support.clock import NOW
from tests.support.ledger import publish, signed_keyset
from tocsin_issuer.sequencing.commit_meter import BOUNDS_S, CommitMeter
from tocsin_schemas.events import Event, SessionsRevoked


def entry(age_s: float, number: int = 0) -> str:
    return f"{round((NOW - age_s) * 1000)}-{number}"


def ended(name: str) -> Event:
    return SessionsRevoked(id=name, reason="test", initiator="admin", sessions=())


def test_each_entry_is_counted_in_its_place() -> None:
    meter = CommitMeter()
    ids = [entry(0.001), entry(0.001, 1), entry(0.1), entry(0.101), entry(500)]
    meter.count(ids, [ended("a"), ended("b")], NOW)
    meter.count([], [publish(signed_keyset())], NOW)
    counted = dict(zip((*BOUNDS_S, None), meter.waits, strict=True))
    assert {bound: number for bound, number in counted.items() if number} == {
        0.0025: 2,
        0.1: 1,  # a bound is part of its bucket
        0.25: 1,
        None: 1,
    }
    assert round(meter.waited_s, 3) == 500.203
    assert meter.records == 2
    assert meter.events == {"sessions-revoked": 2, "keyset-published": 1}


def test_a_clock_of_redis_that_is_ahead_makes_no_negative_wait() -> None:
    meter = CommitMeter()
    meter.count([entry(-3)], [ended("a")], NOW)
    assert meter.waits[0] == 1
    assert meter.waited_s == 0
