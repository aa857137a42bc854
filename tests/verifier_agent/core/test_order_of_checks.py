"""The order of checks: an agent that is stale says so, whatever the token; the clock comes last."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.agent import Agent
from tests.support.clock import LEASE_NOW, NOW, SECOND
from tests.support.forge import header_of, seal, token
from tests.support.keys import signer
from tests.support.ledger import (
    HOUR,
    LEDGER_KEY,
    TOKEN_KEY,
    Ledger,
    pinned,
    revoke_key,
    revoke_token,
    signed_keyset,
)
from tests.support.tokens import AUDIENCE, ISSUER, claims, own_jti
from tocsin_revocation_bus.core.replica import Outcome, Replica
from tocsin_revocation_bus.core.state import TokenFacts
from tocsin_revocation_bus.core.trust import PinnedRoots
from tocsin_schemas.errors import AgentStale, TokenRejected
from tocsin_verifier_agent.core.authority import LedgerAuthority, TrustedKey
from tocsin_verifier_agent.core.token_verifier import TokenVerifier

STRANGER = signer("Ed25519", "stranger")
L = 120 * SECOND

TOKENS: dict[str, Callable[[], Any]] = {
    "good": lambda: token(TOKEN_KEY, claims()),
    "an unknown kid": lambda: token(STRANGER, claims()),
    "a bad signature": lambda: token(TOKEN_KEY, claims())[:-4] + "AAAA",
    "too long": lambda: "x" * 10_000,
    "empty": lambda: "",
    "no text at all": lambda: None,
    "expired": lambda: token(TOKEN_KEY, claims(NOW - 5000)),
    "another typ": lambda: token(TOKEN_KEY, claims(), typ="JWT"),
    "a foreign jti": lambda: token(TOKEN_KEY, claims(jti="not-ours")),
}
TOKEN_ROWS = [pytest.param(build, id=name) for name, build in TOKENS.items()]


@pytest.mark.parametrize("build", TOKEN_ROWS)
def test_stale_beats_everything(build: Callable[[], Any]) -> None:
    """An unknown kid may be one of a keyset that we have not heard of: 503, not 401."""
    agent = Agent()
    live = agent.code(build())
    assert live == "accepted" or not live.startswith("503")
    agent.clock.lease += L + 1
    for _ in range(2):
        assert agent.code(build()) == "503 lease_lapsed"
    assert (len(agent.cache) == 1) == (live == "accepted")


@pytest.mark.parametrize("build", TOKEN_ROWS)
def test_before_the_first_lease_there_is_no_verdict(build: Callable[[], Any]) -> None:
    for replica in (Replica(ISSUER, pinned()), Ledger().replica()):
        verifier = verifier_over(replica, lambda: LEASE_NOW)
        with pytest.raises(AgentStale):
            verifier.verify(build())


@pytest.mark.parametrize("build", TOKEN_ROWS)
def test_after_a_halt_there_is_no_verdict(build: Callable[[], Any]) -> None:
    agent = Agent()
    agent.verify(agent.mint())
    fork = agent.ledger.draft(prev="h" * 43)
    assert agent.replica.apply_record(fork, LEASE_NOW, NOW) is Outcome.HALTED
    assert agent.code(build()) == "503 chain_broken"


@pytest.mark.parametrize("build", TOKEN_ROWS)
def test_under_a_keyset_that_has_run_out_there_is_no_verdict(build: Callable[[], Any]) -> None:
    agent = Agent(Ledger(signed_keyset(expires_at=NOW + 60)))
    agent.clock.wall += 60
    assert agent.code(build()) == "503 keyset_expired"


def verifier_over(replica: Replica, lease_clock: Callable[[], int]) -> TokenVerifier:
    return TokenVerifier(
        LedgerAuthority(replica),
        audiences={ISSUER: frozenset([AUDIENCE])},
        lease_clock=lease_clock,
        wall_clock=lambda: NOW,
    )


def test_a_stale_error_says_nothing_about_the_token() -> None:
    agent = Agent()
    agent.clock.lease += L + 1
    text = agent.mint()
    with pytest.raises(AgentStale) as caught:
        agent.verify(text)
    assert text not in repr(vars(caught.value)) + str(caught.value)
    assert caught.value.retry_after >= 1


# --- how long an answer is good ----


def test_the_lease_is_good_to_its_last_nanosecond() -> None:
    agent = Agent()
    text = agent.mint()
    for seen_before in (False, True):
        assert (len(agent.cache) == 1) == seen_before
        agent.clock.lease = LEASE_NOW + L
        assert agent.code(text) == "accepted"
        agent.clock.lease += 1
        assert agent.code(text) == "503 lease_lapsed"


def test_a_route_may_ask_for_more_freshness_and_not_for_less() -> None:
    agent = Agent()
    text = agent.mint()
    agent.clock.lease += 20 * SECOND
    assert agent.code(text, 15 * SECOND).startswith("503")
    assert agent.code(text, 20 * SECOND) == "accepted"
    assert agent.code(text) == "accepted"
    assert agent.code(text, 15 * SECOND).startswith("503")
    agent.clock.lease = LEASE_NOW + L + 1
    assert agent.code(text, 10_000 * SECOND).startswith("503")
    for staleness in (0, -1, -(10**18)):
        assert agent.code(text, staleness).startswith("503")


def test_valid_until_is_the_lease_or_the_token_whichever_ends_first() -> None:
    agent = Agent()
    long, short = agent.mint(), agent.mint(exp=NOW + 10)
    for _ in range(2):
        assert agent.verify(long).valid_until == pytest.approx(NOW + 120)
        assert agent.verify(long, 15 * SECOND).valid_until == pytest.approx(NOW + 15)
        assert agent.verify(short).valid_until == pytest.approx(NOW + 40)
    agent.clock.lease += 100 * SECOND
    assert agent.verify(long).valid_until == pytest.approx(NOW + 20)


# --- the clock last ----


@pytest.mark.parametrize("seen_before", [False, True])
@pytest.mark.parametrize("build", TOKEN_ROWS)
def test_a_clock_that_jumps_during_verification_makes_stale(
    build: Callable[[], Any], seen_before: bool
) -> None:
    """A pause of the process, a suspend of the machine: whatever was worked out, the answer comes
    too late. The clock jumps at each of its readings in turn.
    """
    text = build()
    for jump_at in range(1, 6):
        readings: Iterator[int] = iter([LEASE_NOW] * jump_at + [LEASE_NOW + L + 1] * 20)
        still = [LEASE_NOW] * 4 if seen_before else []
        taken = iter(still)
        jumped = False

        def clock(taken: Iterator[int] = taken, readings: Iterator[int] = readings) -> int:
            nonlocal jumped
            now = next(taken, None)
            if now is None:
                now = next(readings)
                jumped = now > LEASE_NOW
            return now

        verifier = verifier_over(Ledger().live_replica(), clock)
        if seen_before:
            outcome_of(verifier, text)
            for _ in taken:
                pass
        outcome = outcome_of(verifier, text)
        assert (outcome == "503") == jumped


@pytest.mark.parametrize("build", TOKEN_ROWS)
def test_a_rejection_that_comes_too_late_is_no_verdict_either(build: Callable[[], Any]) -> None:
    """The lease was good when the verification began and had lapsed when it ended: meanwhile a
    keyset may have come that knows the kid.
    """
    verifier = verifier_over(Ledger().live_replica(), lambda: LEASE_NOW + L + 1)
    for _ in range(2):
        assert outcome_of(verifier, build()) == "503"


def outcome_of(verifier: TokenVerifier, text: Any) -> str:
    try:
        verifier.verify(text)
    except TokenRejected:
        return "401"
    except AgentStale:
        return "503"
    return "200"


class Interfering:
    """The rules; lets somebody in at a given point of a verification."""

    def __init__(self, replica: Replica) -> None:
        self._state = replica.state
        self.before_rules: Callable[[], None] = lambda: None
        self.after_rules: Callable[[], None] = lambda: None

    @property
    def generation(self) -> int:
        return self._state.generation

    @property
    def horizon(self) -> int:
        return self._state.horizon

    def why_rejected(self, facts: TokenFacts) -> str | None:
        self.before_rules()
        code = self._state.why_rejected(facts)
        self.after_rules()
        return code


def interfered(agent: Agent) -> Interfering:
    rules = Interfering(agent.replica)
    agent.verifier = TokenVerifier(
        LedgerAuthority(agent.replica, rules),
        audiences={ISSUER: frozenset([AUDIENCE])},
        lease_clock=lambda: agent.clock.lease,
        wall_clock=lambda: agent.clock.wall,
        cache=agent.cache,
    )
    return rules


def test_a_lease_that_is_renewed_during_verification_does_not_lengthen_the_answer() -> None:
    """The lease's end is read before the rules: a heartbeat that came after them proves a state
    that was not looked at.
    """
    agent = Agent()
    name = own_jti()
    text = agent.mint(jti=name)
    authority = interfered(agent)

    def revoke_and_renew() -> None:
        """The revocation, a heartbeat after it, and a long pause, all after the rules."""
        authority.after_rules = lambda: None
        agent.fold(revoke_token(name))
        agent.clock.advance(121)
        agent.beat()

    authority.after_rules = revoke_and_renew
    assert agent.code(text).startswith("503")
    assert agent.code(text) == "token_revoked"


def test_a_revocation_that_lands_during_verification_is_seen_the_next_time() -> None:
    """The entry is remembered under the generation before: it is looked at again."""
    agent = Agent()
    name = own_jti()
    text = agent.mint(jti=name)
    authority = interfered(agent)

    def revoke() -> None:
        authority.after_rules = lambda: None
        agent.fold(revoke_token(name))

    authority.after_rules = revoke
    assert agent.code(text) == "accepted"
    assert len(agent.cache) == 1
    assert agent.code(text) == "token_revoked"
    assert len(agent.cache) == 0


def test_a_rule_that_goes_during_verification_leaves_no_gap() -> None:
    """I2 while threads run: exp was checked against an older G, then the writer moved G on and
    forgot the rule. Our wall clock is slow, so only G says that the token has expired.
    """
    agent = Agent()
    name = own_jti()
    text = agent.mint(jti=name)
    agent.fold(revoke_token(name, until=NOW + 600 + 30))
    authority = interfered(agent)

    def time_passes() -> None:
        authority.before_rules = lambda: None
        record = agent.ledger.append(iat=NOW + 3 * HOUR)
        assert agent.replica.apply_record(record, LEASE_NOW, NOW + 3 * HOUR) is Outcome.APPLIED
        assert agent.replica.state.counts()["tokens"] == 0

    authority.before_rules = time_passes
    assert agent.code(text) == "exp"


def test_a_key_that_is_revoked_during_verification_is_dead_the_next_time() -> None:
    agent = Agent()
    text = agent.mint()
    authority = interfered(agent)

    def revoke() -> None:
        authority.after_rules = lambda: None
        agent.fold(revoke_key(TOKEN_KEY.kid))

    authority.after_rules = revoke
    agent.code(text)
    assert agent.code(text) == "key_revoked"


# --- which key ----


def test_the_ledger_key_signs_no_tokens() -> None:
    agent = Agent()
    assert agent.code(token(LEDGER_KEY, claims())) == "kid"


def test_the_signature_comes_before_the_claims() -> None:
    """Nothing that a stranger wrote is looked at: the code names the signature, not a claim."""
    agent = Agent()
    for bad in (claims(iss="x"), claims(aud="x"), claims(exp=None), "{", b"\xff"):
        forged = seal(header_of(TOKEN_KEY), bad, STRANGER.sign)
        assert agent.code(forged) == "signature"


def test_once_known_to_be_stale_a_verifier_does_no_work_for_an_answer_it_cannot_give() -> None:
    agent = Agent()
    asked: list[str] = []

    class Asked(LedgerAuthority):
        def keys(self, kid: str) -> tuple[TrustedKey, ...]:
            asked.append(kid)
            return super().keys(kid)

    now = LEASE_NOW
    verifier = TokenVerifier(
        Asked(agent.replica),
        audiences={ISSUER: frozenset([AUDIENCE])},
        lease_clock=lambda: now,
        wall_clock=lambda: NOW,
    )
    assert outcome_of(verifier, agent.mint()) == "200"
    now = LEASE_NOW + L + 1
    for _ in range(3):
        assert outcome_of(verifier, agent.mint()) == "503"
    assert len(asked) == 2  # the good one, and the one that showed it


def test_keys_of_roots_that_are_only_followed_accept_nothing() -> None:
    """The agent's file pins later roots, and their keyset has not come yet: not even an agent that
    may go on without a lease goes by the keys before it.
    """
    ledger = Ledger()
    replica = ledger.feed(Replica(ISSUER, PinnedRoots(frozenset([STRANGER.kid]), 1, 2)))
    verifier = TokenVerifier(
        LedgerAuthority(replica),
        audiences={ISSUER: frozenset([AUDIENCE])},
        lease_clock=lambda: LEASE_NOW,
        wall_clock=lambda: NOW,
    )
    good = token(TOKEN_KEY, claims())
    for attempt in (
        lambda: verifier.verify(good),
        lambda: verifier.verify_unproven(good, obey_rules=True),
        lambda: verifier.verify_unproven(good, obey_rules=False),
    ):
        with pytest.raises(AgentStale) as stale:
            attempt()
        assert stale.value.code == "root_mismatch"
