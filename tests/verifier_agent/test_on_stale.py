"""An agent without a proof: what its file and its routes let it do, and how loudly."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin_schemas import jws
from tocsin_schemas.errors import AgentStale, TokenRejected
from tocsin_verifier_agent import Verified, VerifierAgent
from tocsin_verifier_agent.core.leniency import OF_THE_LEDGER, OnStale
from tocsin_verifier_agent.testing import LocalIssuer


@pytest.fixture
def issuer() -> LocalIssuer:
    return LocalIssuer()


def code(
    agent: VerifierAgent,
    token: str,
    max_staleness: float | None = None,
    on_stale: OnStale | None = None,
) -> str:
    """``accepted``, with what flags it; or the code of the refusal."""
    try:
        verified = agent.verify(token, max_staleness, on_stale)
    except TokenRejected as rejected:
        return rejected.code
    except AgentStale as stale:
        return f"503 {stale.code}"
    return " ".join(["accepted", verified.unproven, verified.would_deny]).strip()


# --- accept -------------------------------------------------------------------------------------


def test_by_default_nothing_is_accepted(issuer: LocalIssuer) -> None:
    issuer.go_stale()
    assert code(issuer.agent, issuer.mint()) == "503 lease_lapsed"


def test_a_file_or_a_route_may_accept(issuer: LocalIssuer) -> None:
    lenient, token = issuer.new_agent(on_stale="accept"), issuer.mint(expires_in=3600)
    assert code(lenient, token) == "accepted"
    issuer.go_stale()
    assert code(lenient, token) == "accepted lease_lapsed"
    assert code(lenient, token, on_stale="reject") == "503 lease_lapsed"
    assert code(issuer.agent, token, on_stale="accept") == "accepted lease_lapsed"
    issuer.advance(900)
    assert code(lenient, token) == "503 lease_lapsed"


def test_a_route_that_wants_a_fresh_proof_is_not_lenient_because_the_file_is(
    issuer: LocalIssuer,
) -> None:
    lenient, token = issuer.new_agent(on_stale="accept"), issuer.mint()
    issuer.cut_off()
    issuer.advance(16)
    assert code(lenient, token) == "accepted"
    assert code(lenient, token, max_staleness=15) == "503 lease_lapsed"
    assert code(lenient, token, max_staleness=15, on_stale="accept") == "accepted lease_lapsed"


def test_a_word_that_means_nothing_refuses(issuer: LocalIssuer) -> None:
    issuer.go_stale()
    wrong: OnStale = "acept"  # type: ignore[assignment]
    assert code(issuer.agent, issuer.mint(), on_stale=wrong) == "503 lease_lapsed"


@pytest.mark.parametrize("mode", ["accept", "introspect"])
def test_what_is_known_counts_without_a_lease(issuer: LocalIssuer, mode: OnStale) -> None:
    agent, token, revoked = issuer.new_agent(on_stale=mode), issuer.mint(), issuer.mint()
    issuer.revoke_token(revoked)
    issuer.go_stale()
    forged = token[:-8] + "AAAAAAAA"
    expected = ["token_revoked", "signature"] if mode == "accept" else ["503 lease_lapsed"] * 2
    assert [code(agent, one) for one in (revoked, forged)] == expected


def test_every_lenient_acceptance_is_counted_and_each_lapse_alarms_once(
    issuer: LocalIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    agent, token = issuer.new_agent(on_stale="accept"), issuer.mint(expires_in=3600)
    caplog.set_level(logging.DEBUG)
    for lapse in range(1, 4):
        issuer.go_stale()
        for _ in range(5):
            assert code(agent, token) == "accepted lease_lapsed"
        assert agent.meters.snapshot()["accepted_unproven"] == {"lease_lapsed": 5 * lapse}
        alarms = [one for one in caplog.records if "WITHOUT A LEASE" in one.getMessage()]
        assert [one.levelno for one in alarms] == [logging.ERROR] * lapse
        issuer.come_back()
        assert code(agent, token) == "accepted"
    assert token not in caplog.text


def test_what_is_refused_is_counted(issuer: LocalIssuer) -> None:
    agent, token = issuer.agent, issuer.mint()
    issuer.revoke_token(token)
    code(agent, token)
    code(agent, "nonsense")
    issuer.go_stale()
    code(agent, token)
    code(agent, token, on_stale="introspect")
    code(agent, "nonsense", on_stale="accept")
    assert agent.meters.snapshot() == {
        "rejected": {"token_revoked": 1, "segments": 2},
        "stale": {"lease_lapsed": 2},
        "accepted_unproven": {},
        "would_deny": {},
        "introspected": {},
    }


# --- observe ------------------------------------------------------------------------------------

REVOKE: dict[str, Callable[[LocalIssuer, str], None]] = {
    "token_revoked": lambda issuer, token: issuer.revoke_token(token),
    "session_revoked": lambda issuer, _: issuer.revoke_session("s-1"),
    "subject_revoked": lambda issuer, _: issuer.revoke_subject("alice"),
    "client_revoked": lambda issuer, _: issuer.revoke_client("client.test"),
    "all_revoked": lambda issuer, _: issuer.revoke_everything(),
    "key_revoked": lambda issuer, _: issuer.revoke_key(),
}


@pytest.mark.parametrize("expected", REVOKE)
def test_observe_reports_a_revocation_and_does_not_enforce_it(
    issuer: LocalIssuer, expected: str
) -> None:
    agent, token = issuer.new_agent(observe=True), issuer.mint(sid="s-1")
    assert code(agent, token) == "accepted"
    REVOKE[expected](issuer, token)
    assert code(issuer.agent, token) == expected
    assert code(agent, token) == f"accepted  {expected}"
    assert agent.meters.snapshot()["would_deny"] == {expected: 1}
    assert agent.meters.snapshot()["rejected"] == {}


def test_observe_enforces_signatures_and_claims(issuer: LocalIssuer) -> None:
    agent, other = issuer.new_agent(observe=True), LocalIssuer()
    token = issuer.mint()
    bad = {
        "signature": token[:-8] + "AAAAAAAA",
        "aud": issuer.mint(aud="elsewhere.test"),
        "exp": issuer.mint(expires_in=-100),
        "segments": "nonsense",
    }
    assert [code(agent, one) for one in bad.values()] == list(bad)
    assert code(agent, other.mint()) == "kid"
    issuer.go_stale()
    assert [code(agent, one) for one in bad.values()] == list(bad)
    assert code(agent, token) == "accepted  stale"
    assert code(agent, other.mint()) == "503 lease_lapsed"
    assert agent.meters.snapshot()["would_deny"] == {"stale": 1}
    assert agent.meters.snapshot()["stale"] == {"lease_lapsed": 1}


async def test_observe_is_loud(issuer: LocalIssuer, caplog: pytest.LogCaptureFixture) -> None:
    agent = issuer.new_agent(observe=True)
    async with agent:
        [said] = [one for one in caplog.records if one.levelno >= logging.WARNING]
        assert "OBSERVES" in said.getMessage()
        assert agent.describe()["mode"] == "observe"
    async with issuer.agent:
        assert issuer.agent.describe()["mode"] == "enforce"
    assert len([one for one in caplog.records if "OBSERVES" in one.getMessage()]) == 1


KINDS: list[dict[str, Any]] = [{}, {"sid": "s-1"}, {"aud": "other.test"}, {"sub": "bob"}]
STEPS = ["mint", "token", "rotate", "cut_off", "come_back", "stale", "wait", *sorted(REVOKE)]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 7)), min_size=1, max_size=12),
    st.sampled_from(["reject", "accept"]),
)
def test_observe_says_what_enforce_would_have_said(
    steps: list[tuple[str, int]], on_stale: OnStale
) -> None:
    """But for tokens that are bad in themselves: those it refuses even where enforce, being stale,
    would not look.
    """
    issuer = LocalIssuer()
    enforce = issuer.new_agent(on_stale=on_stale)
    observe = issuer.new_agent(on_stale=on_stale, observe=True)
    never = LocalIssuer().new_agent(observe=True)
    tokens = [issuer.mint(sid="s-1", expires_in=4000)]
    for step, which in steps:
        chosen = tokens[which % len(tokens)]
        if step == "mint":
            tokens.append(issuer.mint(**KINDS[which % 4]))
        elif step == "token":
            tokens.append(chosen[:-8] + "AAAAAAAA")
        elif step == "rotate":
            issuer.rotate_key()
        elif step in {"cut_off", "come_back"}:
            getattr(issuer, step)()
        elif step == "stale":
            issuer.go_stale()
        elif step == "wait":
            issuer.advance(which * 100)
        elif step != "token_revoked" or "AAAAAAAA" not in chosen:
            REVOKE[step](issuer, chosen)
        for token in tokens:
            _agree(code(enforce, token), code(observe, token), _knows_key(observe, token))
            assert code(never, token) == "kid"


def _agree(enforced: str, observed: str, known: bool) -> None:
    if enforced.startswith("accepted"):
        assert observed == enforced
    elif enforced.startswith("503"):
        fine = {"accepted  stale", "signature", "aud", "exp"} if known else {enforced}
        assert observed in fine
    elif enforced in OF_THE_LEDGER:
        assert observed == f"accepted  {enforced}"
    else:
        assert observed == enforced


def _knows_key(agent: VerifierAgent, token: str) -> bool:
    return jws.parse_header(token.split(".")[0]).kid in agent.replica.trust.token_keys


# --- no garbage ---------------------------------------------------------------------------------


@pytest.mark.parametrize("stale", [False, True], ids=["live", "stale"])
@pytest.mark.parametrize("observe", [False, True], ids=["enforce", "observe"])
@pytest.mark.parametrize("mode", ["reject", "accept", "introspect"])
def test_a_flood_of_bad_tokens_leaves_no_garbage(
    issuer: LocalIssuer, mode: OnStale, observe: bool, stale: bool
) -> None:
    """An error that refers to itself is freed only by the garbage collector, and a flood of them
    stops every thread for that.
    """
    agent = issuer.new_agent(on_stale=mode, observe=observe)
    revoked, good = issuer.mint(), issuer.mint()
    issuer.revoke_token(revoked)
    if stale:
        issuer.go_stale()
    bad = (revoked, good[:-8] + "AAAAAAAA", LocalIssuer().mint(), "nonsense", "a.b.c")

    def flood() -> list[str]:
        return [code(agent, token) for _ in range(20) for token in bad]

    flood()
    gc.collect()
    gc.disable()
    try:
        flood()
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_what_is_accepted_is_not_kept(issuer: LocalIssuer) -> None:
    """A lenient answer is worked out anew each time: no cache could outlive the reason for it."""
    agent, token = issuer.new_agent(on_stale="accept"), issuer.mint()
    issuer.go_stale()
    first: Verified = agent.verify(token)
    assert agent.verify(token) is not first
    issuer.revoke_token(token)
    issuer.come_back()
    assert code(agent, token) == "token_revoked"
