"""The lease: no proof may ever be later than what it proves, whatever clocks and networks do.

Clocks here are exact: each runs at rates of its own, all within rho of real time, and is read in
whole nanoseconds. ``true instants`` are seen by nobody but the test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin_revocation_bus.core.lease import ClockSync, Lease, proven_at

MILLION = 1_000_000
SECOND = 1_000_000_000
ROUNDING = 2  # nanoseconds: both clocks are read in whole ones

Formula = Callable[[ClockSync, int, int], int]


@dataclass(frozen=True)
class Clock:
    """A clock that runs at ``rates`` (ppm off real time), each for a stretch of real time, and at
    the last one for ever.
    """

    start: int
    stretches: tuple[tuple[int, int], ...]
    last_ppm: int

    def exact(self, instant: int) -> Fraction:
        reading = Fraction(self.start)
        for length, ppm in self.stretches:
            passed = min(length, instant)
            reading += Fraction(passed * (MILLION + ppm), MILLION)
            instant -= passed
        return reading + Fraction(instant * (MILLION + self.last_ppm), MILLION)

    def read(self, instant: int) -> int:
        return int(self.exact(instant) // 1)


@st.composite
def clocks(draw: st.DrawFn, rho_ppm: int) -> Clock:
    rate = st.sampled_from([-rho_ppm, 0, rho_ppm]) | st.integers(-rho_ppm, rho_ppm)
    stretches = draw(st.lists(st.tuples(st.integers(0, 500 * SECOND), rate), max_size=3))
    return Clock(draw(st.integers(0, 10**15)), tuple(stretches), draw(rate))


@dataclass(frozen=True)
class Exchange:
    """One sync and one heartbeat, on true instants."""

    agent: Clock
    issuer: Clock
    rho_ppm: int
    sent: int
    read: int
    beaten: int

    def proof(self, formula: Formula) -> int:
        sync = ClockSync(self.agent.read(self.sent), self.issuer.read(self.read))
        return formula(sync, self.issuer.read(self.beaten), self.rho_ppm)

    def excess(self, formula: Formula) -> Fraction:
        """By how much the proof is later than the heartbeat was, on the agent's clock."""
        return self.proof(formula) - self.agent.exact(self.beaten)


_INSTANT = st.integers(0, 2000 * SECOND)


@st.composite
def exchanges(draw: st.DrawFn) -> Exchange:
    rho_ppm = draw(st.sampled_from([1, 50, 500, 10_000, 100_000]))
    sent = draw(_INSTANT)
    delay = draw(st.integers(0, 60 * SECOND) | st.integers(0, 2000) | st.just(0))
    return Exchange(
        draw(clocks(rho_ppm)), draw(clocks(rho_ppm)), rho_ppm, sent, sent + delay, draw(_INSTANT)
    )


@settings(max_examples=400, deadline=None)
@given(exchanges())
def test_a_proof_is_never_later_than_the_heartbeat(exchange: Exchange) -> None:
    """Before or after the sync, with any delay, whatever the clocks did in between."""
    assert exchange.excess(proven_at) <= ROUNDING


@settings(max_examples=200, deadline=None)
@given(exchanges())
def test_a_proof_is_not_needlessly_early(exchange: Exchange) -> None:
    """It gives away the request's delay and a few rho of the difference, no more."""
    gap = abs(exchange.beaten - exchange.read)
    delay = exchange.read - exchange.sent
    allowed = Fraction((7 * gap + delay) * exchange.rho_ppm, MILLION) + delay + ROUNDING + 1
    assert exchange.excess(proven_at) >= -allowed


# --- mutants: formulas that look as good and are not --------------------------------------------


def mutant(positive: int, negative: int) -> Formula:
    """The formula with other multiples of rho; the real one has −2 and +3."""

    def formula(sync: ClockSync, issuer_time: int, rho_ppm: int) -> int:
        difference = issuer_time - sync.issuer_time0
        times = positive if difference >= 0 else negative
        return sync.sent + difference * (MILLION + times * rho_ppm) // MILLION

    return formula


def from_the_middle(sync: ClockSync, issuer_time: int, rho_ppm: int) -> int:
    """As NTP would: it takes half of the round trip off, which the network may not have used."""
    return proven_at(ClockSync(sync.sent + 1000, sync.issuer_time0), issuer_time, rho_ppm)


def rounded_up(sync: ClockSync, issuer_time: int, rho_ppm: int) -> int:
    return proven_at(sync, issuer_time, rho_ppm) + SECOND // 1000


def worst_cases(rho_ppm: int) -> list[Exchange]:
    rates = (-rho_ppm, 0, rho_ppm)
    found = []
    for agent, issuer, beaten in product(
        rates, rates, (0, 900 * SECOND, 1000 * SECOND, 2000 * SECOND)
    ):
        one, two = Clock(10**12, (), agent), Clock(5 * 10**12, (), issuer)
        found.append(Exchange(one, two, rho_ppm, 1000 * SECOND, 1000 * SECOND, beaten))
    return found


def breaks(formula: Formula) -> bool:
    """Whether some schedule gets a proof that is too late."""
    cases = [case for rho in (1, 500, 100_000) for case in worst_cases(rho)]
    return any(case.excess(formula) > ROUNDING for case in cases)


MUTANTS = {
    "no rho at all": mutant(0, 0),
    "no rho where the difference is positive": mutant(0, 3),
    "no rho where it is negative": mutant(-2, 0),
    "-3 rho instead of +3 rho": mutant(-2, -3),
    "the symmetrical sign": mutant(-2, -2),
    "+2 rho instead of -2 rho": mutant(2, 3),
    "one rho, positive": mutant(-1, 3),
    "one rho, negative": mutant(-2, 1),
    "two rho, negative": mutant(-2, 2),
    "half of the round trip": from_the_middle,
    "rounded up": rounded_up,
}


def test_the_formula_survives_the_worst_cases() -> None:
    assert not breaks(proven_at)
    assert not breaks(mutant(-2, 3))
    assert not breaks(mutant(-3, 4))


@pytest.mark.parametrize("formula", MUTANTS.values(), ids=MUTANTS)
def test_the_worst_cases_kill_every_mutant(formula: Formula) -> None:
    assert breaks(formula)


# --- the lease itself ---------------------------------------------------------------------------

_LATER = st.integers(1000, 60 * SECOND)  # what a network takes at least, in nanoseconds


@dataclass(frozen=True)
class Event:
    """A sync, or a heartbeat, of one of two candidates; it arrives ``delay`` after ``instant``."""

    sync: bool
    candidate: int
    instant: int
    reply_delay: int
    delay: int


_EVENTS = st.lists(
    st.builds(
        Event,
        sync=st.booleans(),
        candidate=st.integers(0, 1),
        instant=st.integers(0, 900 * SECOND),
        reply_delay=st.integers(0, 30 * SECOND),
        delay=_LATER,
    ),
    max_size=14,
)


@settings(max_examples=200, deadline=None)
@given(st.data(), _EVENTS)
def test_a_lease_is_never_later_than_the_newest_heartbeat_seen(
    data: st.DataObject, events: list[Event]
) -> None:
    """Messages overtake each other, are late, and come from candidates with clocks of their own."""
    rho = data.draw(st.sampled_from([1, 500, 100_000]))
    agent, *issuers = (data.draw(clocks(rho)) for _ in range(3))
    lease = Lease()
    newest: Fraction | None = None
    before: int | None = None
    for event in sorted(events, key=lambda one: one.instant + one.reply_delay + one.delay):
        issuer = issuers[event.candidate]
        name = f"clock-{event.candidate}"
        if event.sync:
            read = event.instant + event.reply_delay
            lease.synced(name, ClockSync(agent.read(event.instant), issuer.read(read)))
            continue
        received = event.instant + event.reply_delay + event.delay
        if lease.knows(name):
            beaten = agent.exact(event.instant)
            newest = beaten if newest is None else max(newest, beaten)
        lease.renew(name, issuer.read(event.instant), agent.read(received), rho)
        if lease.proven_at is not None:
            assert newest is not None
            assert lease.proven_at <= newest + ROUNDING
            assert before is None or lease.proven_at >= before
        before = lease.proven_at
    assert lease.rho_broken == 0


def synced(*names: str, sent: int = 1000) -> Lease:
    lease = Lease()
    for name in names:
        lease.synced(name, ClockSync(sent, 5000))
    return lease


def test_a_heartbeat_on_an_unknown_clock_renews_nothing() -> None:
    lease = synced("a")
    assert not lease.renew("b", 6000, 10**9, 500)
    assert lease.proven_at is None


def test_a_sync_alone_renews_nothing() -> None:
    assert synced("a").proven_at is None


def test_only_a_later_proof_counts() -> None:
    lease = synced("a")
    assert lease.renew("a", 6_005_000, 10**9, 500)
    first = lease.proven_at
    for issuer_time in (6_005_000, 6_004_999, 5000, 0):
        assert not lease.renew("a", issuer_time, 10**9, 500)
        assert lease.proven_at == first
    assert lease.renew("a", 7_000_000, 10**9, 500)


def test_a_proof_from_the_future_drops_everything() -> None:
    """A clock runs outside rho: no number that it had a part in can be believed any more."""
    lease = synced("a", "b")
    assert lease.renew("b", 6000, 10**9, 500)
    assert not lease.renew("a", 50_000, 10_000, 500)
    assert lease.rho_broken == 1
    assert lease.proven_at is None
    assert not lease.knows("a")
    assert not lease.knows("b")


def test_an_older_sync_does_not_replace_a_newer_one() -> None:
    lease = Lease()
    lease.synced("a", ClockSync(2000, 9000))
    lease.synced("a", ClockSync(1000, 5000))
    lease.renew("a", 9000, 10**9, 500)
    assert lease.proven_at == 2000


def test_syncs_are_bounded() -> None:
    lease = synced(*(f"clock-{number}" for number in range(50)))
    assert sum(lease.knows(f"clock-{number}") for number in range(50)) == Lease.MAX_CLOCKS
    assert lease.knows("clock-49")
