"""A clock that costs less to read vouches for a lease, and never for longer than it lasts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.agent import Agent
from tests.support.clock import LEASE_NOW, SECOND
from tests.support.tokens import AUDIENCE, ISSUER
from tocsin_revocation_bus import clocks
from tocsin_schemas.errors import AgentStale
from tocsin_verifier_agent.core.authority import LedgerAuthority, TrustedKey
from tocsin_verifier_agent.core.token_verifier import TokenVerifier
from tocsin_verifier_agent.feed import OF_THIS_MACHINE, Clocks

L = 120 * SECOND
SLOWEST, FASTEST = 399_000, 1_601_000  # of a million: the kernel lets NTP slew by that much


class TwoClocks:
    """A verifier that has seen its token before, at the beginning of its lease."""

    def __init__(self, ppm: int) -> None:
        self.agent = Agent()
        self.ppm = ppm
        self.lease_reads = 0
        self.verifier = TokenVerifier(
            LedgerAuthority(self.agent.replica),
            audiences={ISSUER: frozenset([AUDIENCE])},
            lease_clock=self._lease,
            wall_clock=self.agent.clock.utc,
            quick_clock=lambda: (self.agent.clock.lease - LEASE_NOW) * self.ppm * 1e-15,
        )
        self.token = self.agent.mint(exp=int(self.agent.clock.wall) + 600)
        self.verifier.verify(self.token)

    def _lease(self) -> int:
        self.lease_reads += 1
        return self.agent.clock.lease

    def accepts(self, at: int, max_staleness_ns: int | None = None) -> bool:
        """``at`` is nanoseconds of the lease clock since the lease began."""
        self.agent.clock.lease = LEASE_NOW + at
        try:
            verified = self.verifier.verify(self.token, max_staleness_ns)
        except AgentStale:
            return False
        until = self.agent.replica.valid_until(max_staleness_ns)
        assert until is not None
        left_s = (until - self.agent.clock.lease) / SECOND
        assert verified.valid_until <= self.agent.clock.wall + left_s + 1e-6
        return True


Ask = tuple[int, int | None]


@given(
    st.integers(SLOWEST, FASTEST),
    st.lists(
        st.tuples(
            st.integers(0, L + L // 4) | st.sampled_from([L, L + 1]),
            st.sampled_from([None, None, None, 15 * SECOND, 0]),
        ),
        max_size=20,
    ).map(lambda asks: sorted(asks, key=lambda ask: ask[0])),
)
def test_the_answer_is_the_lease_clocks(ppm: int, asks: list[Ask]) -> None:
    two = TwoClocks(ppm)
    for at, most in asks:
        assert two.accepts(at, most) == (at <= (L if most is None else most))


def test_the_lease_clock_is_read_only_where_it_may_matter() -> None:
    two = TwoClocks(1_000_000)
    before = two.lease_reads
    for at in range(0, L // 8, SECOND):
        assert two.accepts(at)
    assert two.lease_reads == before
    assert two.accepts(L // 8)
    assert two.lease_reads == before + 1
    assert two.accepts(L // 8 + SECOND)
    assert two.lease_reads == before + 1


def test_an_answer_is_good_for_half_of_what_is_left_at_least() -> None:
    """Who takes it over a network needs some of that."""
    two = TwoClocks(1_000_000)
    for at in range(0, L, SECOND // 4):
        assert two.accepts(at)
        verified = two.verifier.verify(two.token)
        assert verified.valid_until - two.agent.clock.wall >= (L - at) / 2 / SECOND


def test_a_lease_that_has_moved_is_looked_at_anew() -> None:
    two = TwoClocks(1_000_000)
    two.agent.clock.lease = LEASE_NOW + L // 2
    two.agent.beat()
    assert two.accepts(L + L // 4)
    two.agent.replica.lease.drop()
    with pytest.raises(AgentStale):
        two.verifier.verify(two.token)


def test_the_machines_clocks_go_together() -> None:
    """Within what is allowed for, over as long as this test may take."""
    began, quick = clocks.lease_clock(), clocks.quick_clock()
    while clocks.lease_clock() < began + 50_000_000:
        pass
    passed_quick, passed = clocks.quick_clock() - quick, clocks.lease_clock() - began
    assert passed_quick >= passed / 4 * 1e-9


def test_an_agent_on_this_machines_clocks_has_one() -> None:
    assert OF_THIS_MACHINE.quick is clocks.quick_clock
    assert Clocks(lambda: 0, lambda: 0.0).quick is None  # that lease clock is another


def test_routes_that_ask_for_fresher_proofs_leave_the_others_quick() -> None:
    two = TwoClocks(1_000_000)
    for at in range(10):
        before = two.lease_reads
        assert two.accepts(at * SECOND)
        assert two.lease_reads == before
        assert two.accepts(at * SECOND, 15 * SECOND)
        assert two.lease_reads == before + 1


@pytest.mark.parametrize("reading", [-1.0, math.nan, -math.inf])
def test_a_quick_clock_that_shows_nonsense_proves_nothing(reading: float) -> None:
    two = TwoClocks(1_000_000)
    verifier = TokenVerifier(
        LedgerAuthority(two.agent.replica, valid_until=lambda most, wall: 0),
        audiences={ISSUER: frozenset([AUDIENCE])},
        lease_clock=two.agent.clock.now,
        wall_clock=two.agent.clock.utc,
        quick_clock=lambda: reading,
    )
    for _ in range(2):
        with pytest.raises(AgentStale):
            verifier.verify(two.token)


def test_a_quick_clock_that_breaks_later_proves_nothing() -> None:
    agent, shown = Agent(), 0.0
    verifier = TokenVerifier(
        LedgerAuthority(agent.replica),
        audiences={ISSUER: frozenset([AUDIENCE])},
        lease_clock=agent.clock.now,
        wall_clock=agent.clock.utc,
        quick_clock=lambda: shown,
    )
    token = agent.mint(exp=int(agent.clock.wall) + 600)
    verifier.verify(token)
    shown = math.nan
    verifier.verify(token)  # by the lease clock
    agent.clock.lease += L + 1
    with pytest.raises(AgentStale):
        verifier.verify(token)


def test_forged_tokens_cost_nothing_once_one_has_shown_that_they_cannot_be_answered() -> None:
    two, looked = TwoClocks(1_000_000), list[str]()
    keys = two.verifier._authority.keys

    def counted(kid: str) -> tuple[TrustedKey, ...]:
        looked.append(kid)
        return keys(kid)

    vars(two.verifier._authority)["keys"] = counted
    two.agent.clock.lease = LEASE_NOW + 12 * SECOND
    forged = two.token[:-40] + "A" * 40
    for _ in range(3):
        assert two.accepts(12 * SECOND)  # the quick clock says so
        with pytest.raises(AgentStale):
            two.verifier.verify(forged, 10 * SECOND)
    assert len(looked) == 1
