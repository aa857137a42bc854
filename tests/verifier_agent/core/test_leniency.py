"""What passes without a proof, how far, and what never does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.agent import Agent
from tests.support.clock import NOW, SECOND, FixedClock
from tests.support.keys import signer
from tests.support.ledger import (
    DAY,
    LEDGER_KEY,
    TOKEN_KEY,
    Ledger,
    key_entry,
    revoke_all,
    revoke_client,
    revoke_key,
    revoke_session,
    revoke_subject,
    revoke_token,
    signed_keyset,
)
from tests.support.tokens import own_jti
from tocsin_revocation_bus.core.replica import Outcome
from tocsin_schemas.errors import AgentStale, TokenRejected
from tocsin_schemas.events import Event
from tocsin_schemas.signed_document import SignedDocument
from tocsin_verifier_agent.core.authority import LedgerAuthority
from tocsin_verifier_agent.core.leniency import ACCEPT_CAP_S, OF_THE_LEDGER, Leniency
from tocsin_verifier_agent.core.verified import Verified

LEASE_S = 120
CAP_S = LEASE_S + ACCEPT_CAP_S
RULES: dict[str, Callable[[], Event]] = {
    "token_revoked": lambda: revoke_token(own_jti(counter=5)),
    "session_revoked": lambda: revoke_session("session-3"),
    "subject_revoked": lambda: revoke_subject("subject-17", NOW + 1),
    "client_revoked": lambda: revoke_client("web", NOW + 1),
    "all_revoked": lambda: revoke_all(NOW + 1),
    "key_revoked": lambda: revoke_key(TOKEN_KEY.kid),
}


class Lenient(Agent):
    """An agent with its leniency, and a token that lives as long as the policy allows."""

    def __init__(self, ledger: Ledger | None = None) -> None:
        super().__init__(ledger)
        self.authority = LedgerAuthority(self.replica)
        self.leniency = Leniency(self.verifier, self.authority, self.clock.now, self.clock.utc)
        self.token = self.mint(jti=own_jti(counter=5), exp=NOW + 3600)

    def stale_by(self, seconds: float) -> Lenient:
        """``seconds`` after the lease has lapsed."""
        self.clock.advance(LEASE_S + seconds)
        return self

    def halt(self) -> None:
        """Two signed records with one identity."""
        n = len(self.ledger.texts)
        other = self.ledger.draft(revoke_session("another"), n=n, prev=self.ledger.texts[-1][:43])
        assert self.replica.apply_record(other, self.clock.lease, self.clock.wall) is Outcome.HALTED


def outcome(ask: Callable[[], Verified]) -> str:
    try:
        ask()
    except TokenRejected as rejected:
        return rejected.code
    except AgentStale as stale:
        return f"503 {stale.code}"
    return "accepted"


def accepted(agent: Lenient, token: str | None = None) -> str:
    return outcome(lambda: agent.leniency.accept(token or agent.token, "lease_lapsed"))


def observed(agent: Lenient, token: str | None = None) -> str:
    return outcome(lambda: agent.leniency.observe(token or agent.token, "stale"))


def asked(agent: Lenient, token: str | None = None) -> str:
    return outcome(lambda: agent.leniency.before_asking(token or agent.token))


def bad_tokens(agent: Agent) -> dict[str, str]:
    """Tokens that no leniency passes, by the code of the refusal."""
    good = agent.mint()
    return {
        "signature": good[:-8] + "AAAAAAAA",
        "exp": agent.mint(exp=int(agent.clock.wall) - 31, iat=int(agent.clock.wall) - 60),
        "aud": agent.mint(aud="https://elsewhere.example"),
        "iss": agent.mint(iss="https://elsewhere.example"),
        "jti": agent.mint(jti="not-a-lane"),
        "iat": agent.mint(iat=int(agent.clock.wall) + 60),
        "segments": "nonsense",
        "size": "a" * 9000,
    }


# --- accept -------------------------------------------------------------------------------------


def test_accept_ends_15_minutes_after_the_lease_and_not_later() -> None:
    agent = Lenient().stale_by(0)
    assert agent.code(agent.token) == "accepted"
    agent.clock.lease += 1
    assert agent.code(agent.token) == "503 lease_lapsed"
    assert accepted(agent) == "accepted"
    agent.clock.lease += ACCEPT_CAP_S * SECOND - 1
    assert accepted(agent) == "accepted"
    agent.clock.lease += 1
    assert accepted(agent) == "503 lease_lapsed"


def test_the_cap_follows_the_agents_own_lease() -> None:
    agent = Lenient()
    agent.replica._max_lease_ms = 10_000
    agent.fold(revoke_session("somebody-else"))
    agent.beat()
    agent.clock.advance(10 + ACCEPT_CAP_S)
    assert accepted(agent) == "accepted"
    agent.clock.advance(0.001)
    assert accepted(agent) == "503 lease_lapsed"


def test_what_is_accepted_says_so_and_until_when() -> None:
    agent = Lenient().stale_by(100)
    verified = agent.leniency.accept(agent.token, "disconnected")
    assert (verified.unproven, verified.would_deny) == ("disconnected", "")
    assert verified.valid_until == pytest.approx(agent.clock.wall + ACCEPT_CAP_S - 100)
    short = agent.mint(exp=int(agent.clock.wall) + 60)
    assert agent.leniency.accept(short, "disconnected").valid_until == agent.clock.wall + 90


class SlowClock(FixedClock):
    """Each look at the wall clock takes 500 seconds."""

    def utc(self) -> float:
        self.lease += 500 * SECOND
        return self.wall


def test_the_clock_is_read_last() -> None:
    """A thread that is held up in the middle of the checks must not answer afterwards."""
    agent = Lenient().stale_by(1)
    clock = agent.clock = SlowClock(agent.clock.wall, agent.clock.lease)
    lapsed = clock.lease - SECOND
    leniency = Leniency(agent.verifier, agent.authority, clock.now, clock.utc)
    assert outcome(lambda: leniency.accept(agent.token, "lease_lapsed")) == "503 lease_lapsed"
    assert lapsed + 1000 * SECOND < clock.lease <= lapsed + 1600 * SECOND


@pytest.mark.parametrize("expected", RULES)
def test_accept_obeys_every_rule_that_is_known(expected: str) -> None:
    agent = Lenient()
    agent.fold(RULES[expected]())
    agent.stale_by(1)
    assert accepted(agent) == expected
    assert asked(agent) == expected


def test_accept_obeys_a_keys_window() -> None:
    agent = Lenient(Ledger(_short_window()))
    agent.stale_by(1)
    assert accepted(agent) == asked(agent) == "key_window"
    assert observed(agent) == "accepted"


def _short_window() -> SignedDocument:
    entry = key_entry(TOKEN_KEY, "token", sign_until=NOW - 1)
    return signed_keyset(keys=(key_entry(LEDGER_KEY, "ledger"), entry))


@pytest.mark.parametrize(
    "code", ["signature", "exp", "aud", "iss", "jti", "iat", "segments", "size"]
)
def test_no_leniency_passes_a_bad_token(code: str) -> None:
    agent = Lenient().stale_by(1)
    token = bad_tokens(agent)[code]
    assert (accepted(agent, token), asked(agent, token), observed(agent, token)) == (code,) * 3


def test_an_unknown_key_is_a_want_of_news_and_no_refusal() -> None:
    agent = Lenient().stale_by(1)
    token = agent.mint(signer("Ed25519", "published after the lapse"))
    assert accepted(agent, token) == "503 lease_lapsed"
    assert asked(agent, token) == "503 lease_lapsed"
    assert observed(agent, token) == "503 lease_lapsed"


def test_accept_needs_a_lease_that_once_was() -> None:
    agent = Lenient()
    agent.replica.lease.drop()
    assert accepted(agent) == "503 lease_lapsed"
    assert observed(agent) == "accepted"


def test_accept_does_not_go_on_with_a_forked_ledger() -> None:
    agent = Lenient().stale_by(1)
    agent.halt()
    assert agent.code(agent.token) == "503 fork"
    assert accepted(agent) == "503 lease_lapsed"
    assert observed(agent) == "accepted"


def test_accept_does_not_go_on_with_an_expired_keyset() -> None:
    agent = Lenient(Ledger(signed_keyset(expires_at=NOW + 130)))
    agent.stale_by(9)
    assert accepted(agent) == "accepted"
    agent.clock.advance(1)
    assert accepted(agent) == "503 lease_lapsed"
    assert observed(agent) == "accepted"


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["beat", "wait", "rule"]),
            st.integers(0, 1100 * SECOND),
            st.sampled_from(sorted(RULES)),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_accept_never_outlives_its_cap(steps: list[tuple[str, int, str]]) -> None:
    """Whatever happened: what is accepted was proven at most L + 15 min ago, and no rule hits."""
    agent, proven, hit = Lenient(), 0, False
    proven = agent.clock.lease
    for action, wait, rule in steps:
        agent.clock.advance(wait / SECOND)
        if action == "rule":
            agent.fold(RULES[rule]())
            hit = True
        if action == "beat":
            agent.beat()
            proven = agent.clock.lease
        if accepted(agent) == "accepted":
            assert not hit
            assert agent.clock.lease - proven <= CAP_S * SECOND


# --- asking -------------------------------------------------------------------------------------


def test_the_issuers_word_counts_for_this_moment_alone() -> None:
    agent = Lenient().stale_by(10 * 60)
    verified = agent.leniency.before_asking(agent.token)
    assert (verified.unproven, verified.valid_until) == ("introspected", agent.clock.wall)


# --- observe ------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", RULES)
def test_observe_passes_what_a_rule_is_against(code: str) -> None:
    agent = Lenient()
    agent.fold(RULES[code]())
    assert agent.code(agent.token) == code
    assert code in OF_THE_LEDGER
    verified = agent.leniency.observe(agent.token, code)
    assert (verified.would_deny, verified.unproven) == (code, "")
    assert verified.valid_until == NOW + 3600 + 30


def test_what_is_observed_need_not_be_looked_at_again_at_once() -> None:
    """Its key's time is over; the time to look again must not be in the past, or nothing rests."""
    entry = key_entry(TOKEN_KEY, "token", sign_until=NOW - DAY, verify_until=NOW - 1)
    agent = Lenient(Ledger(signed_keyset(keys=(key_entry(LEDGER_KEY, "ledger"), entry))))
    assert agent.code(agent.token) == "key_window"
    assert agent.leniency.observe(agent.token, "key_window").valid_until > agent.clock.wall
