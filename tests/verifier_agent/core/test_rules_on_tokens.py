"""Which rule hits which token: derived tokens, actors, windows and lanes among them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.agent import Agent
from tests.support.clock import NOW
from tests.support.forge import token
from tests.support.ledger import (
    HOUR,
    LEDGER_KEY,
    TOKEN_KEY,
    Ledger,
    key_entry,
    revoke_all,
    revoke_client,
    revoke_session,
    revoke_subject,
    revoke_token,
    signed_keyset,
)
from tests.support.tokens import claims, own_jti
from tocsin_schemas.events import Event
from tocsin_schemas.keyset import Policy

PARENT = own_jti(NOW - 300)
GRANDPARENT_CLIENT = "batch"


def derived(**changes: Any) -> dict[str, Any]:
    """A token that the gateway got in exchange for one of the web client's."""
    return claims(
        client_id="gateway",
        act={"sub": "gateway", "act": {"sub": "web", "act": {"sub": GRANDPARENT_CLIENT}}},
        orig={"jti": PARENT, "iat": NOW - 300},
        **changes,
    )


KILLS_THE_PARENT: dict[str, tuple[Event, str]] = {
    "its jti": (revoke_token(PARENT), "token_revoked"),
    "the session": (revoke_session("session-3"), "session_revoked"),
    "the subject, between parent and child": (
        revoke_subject("subject-17", NOW - 299),
        "subject_revoked",
    ),
    "the parent's client": (revoke_client("web", NOW - 299), "client_revoked"),
    "the first actor": (revoke_client(GRANDPARENT_CLIENT, NOW - 299), "client_revoked"),
    "the gateway": (revoke_client("gateway", NOW - 299), "client_revoked"),
    "everything, between parent and child": (revoke_all(NOW - 299), "all_revoked"),
}


@pytest.mark.parametrize(("rule", "code"), KILLS_THE_PARENT.values(), ids=KILLS_THE_PARENT)
def test_whatever_kills_the_parent_kills_the_child(rule: Event, code: str) -> None:
    for seen_before in (False, True):
        agent = Agent()
        text = token(TOKEN_KEY, derived())
        if seen_before:
            assert agent.code(text) == "accepted"
        agent.fold(rule)
        assert agent.code(text) == code


SPARES_THE_CHILD: dict[str, Event] = {
    "a jti beside it": revoke_token(own_jti(NOW - 300)),
    "another session": revoke_session("session-4"),
    "the subject, before the parent": revoke_subject("subject-17", NOW - 300),
    "another subject": revoke_subject("subject-18", NOW),
    "a client that is not in it": revoke_client("mobile", NOW),
    "the client, before the parent": revoke_client("web", NOW - 300),
    "everything before the parent": revoke_all(NOW - 300),
    "a session that is called as the subject": revoke_session("subject-17"),
    "a subject that is called as a client": revoke_subject("gateway", NOW),
    "a jti that is called as the session": revoke_token("session-3"),
}


@pytest.mark.parametrize("rule", SPARES_THE_CHILD.values(), ids=SPARES_THE_CHILD)
def test_what_spares_the_parent_spares_the_child(rule: Event) -> None:
    agent = Agent()
    agent.fold(rule)
    assert agent.code(token(TOKEN_KEY, derived())) == "accepted"


def test_a_child_with_an_origin_of_a_foreign_issuer_is_found_by_its_name() -> None:
    agent = Agent()
    members = claims(orig={"jti": "2f0e0c9e-7a1e-4b7e", "iat": NOW - 300})
    assert agent.code(token(TOKEN_KEY, members)) == "accepted"
    agent.fold(revoke_token("2f0e0c9e-7a1e-4b7e"))
    assert agent.code(token(TOKEN_KEY, members)) == "token_revoked"


def test_an_origin_in_the_future_does_not_lift_a_token_over_a_cutoff() -> None:
    """The earlier of the two times counts."""
    agent = Agent()
    agent.fold(revoke_subject("subject-17", NOW + 1))
    members = claims(orig={"jti": PARENT, "iat": NOW + 10_000})
    assert agent.code(token(TOKEN_KEY, members)) == "subject_revoked"


@settings(max_examples=60, deadline=None)
@given(st.integers(NOW - 500, NOW + 5), st.integers(NOW - 500, NOW + 5), st.integers(-600, 5))
def test_a_cutoff_hits_exactly_what_was_issued_before_it(
    iat: int, origin: int, before: int
) -> None:
    agent = Agent()
    cutoff = NOW + before
    agent.fold(revoke_all(cutoff))
    members = claims(iat, orig={"jti": PARENT, "iat": origin})
    expected = "all_revoked" if min(iat, origin) < cutoff else "accepted"
    assert agent.code(token(TOKEN_KEY, members)) == expected


def test_tokens_are_told_apart_by_lane_and_counter_and_not_by_their_tail() -> None:
    agent = Agent()
    one, two = own_jti(counter=7), own_jti(counter=8)
    other_lane = own_jti(counter=7, randomness=b"lane-0002")
    agent.fold(revoke_token(one[:-6] + "AAAAAA"))
    assert agent.code(agent.mint(jti=one)) == "token_revoked"
    assert agent.code(agent.mint(jti=two)) == "accepted"
    assert agent.code(agent.mint(jti=other_lane)) == "accepted"


# --- lanes ----


@pytest.mark.parametrize(
    "name", ["x", "2f0e0c9e-7a1e-4b7e-9c3e-1f6f0a3b5c7d", "A" * 27, "A" * 29, "é" * 28, "=" * 28]
)
def test_an_agent_takes_no_jti_that_the_issuer_did_not_make(name: str) -> None:
    assert Agent().code(token(TOKEN_KEY, claims(jti=name))) == "jti"


@pytest.mark.parametrize(
    ("offset", "good"),
    [(-301, False), (-300, True), (0, True), (3599, True), (3899, True), (3900, False)],
)
def test_a_token_is_issued_in_its_lanes_hour_give_or_take_five_minutes(
    offset: int, good: bool
) -> None:
    """Else a lane that has been dropped with its hour could come back under a newer iat."""
    agent = Agent()
    hour = (NOW // HOUR + 1) * HOUR
    iat = hour + offset
    agent.clock.wall = iat
    text = token(TOKEN_KEY, claims(iat, jti=own_jti(hour)))
    assert agent.code(text) == ("accepted" if good else "jti")


# --- windows ----


def with_window(**window: int) -> Agent:
    keys = (key_entry(LEDGER_KEY, "ledger"), key_entry(TOKEN_KEY, "token", **window))
    return Agent(Ledger(signed_keyset(1, keys=keys)))


@pytest.mark.parametrize(
    ("window", "good"),
    [
        ({}, True),
        ({"sign_from": NOW + 5}, True),
        ({"sign_from": NOW + 6}, False),
        ({"sign_until": NOW}, True),
        ({"sign_until": NOW - 1}, False),
        ({"sign_until": NOW, "verify_until": NOW}, True),
        ({"sign_until": NOW - 1, "verify_until": NOW - 1}, False),
        ({"publish_at": NOW - 1, "sign_from": NOW - 1, "sign_until": NOW}, True),
    ],
)
def test_a_token_is_signed_in_its_keys_window(window: dict[str, int], good: bool) -> None:
    agent = with_window(**window)
    assert agent.code(agent.mint()) == ("accepted" if good else "key_window")


def test_verify_until_is_held_against_g_where_the_wall_clock_is_slow() -> None:
    agent = with_window(sign_until=NOW + 300, verify_until=NOW + 300)
    texts = [agent.mint(exp=NOW + 3000) for _ in range(2)]
    assert agent.code(texts[0]) == "accepted"
    agent.clock.wall = NOW + 1000
    agent.fold(iat=NOW + 301 + 600)
    agent.clock.wall = NOW
    assert [agent.code(text) for text in texts] == ["key_window"] * 2


def test_the_policy_says_how_long_a_token_may_live() -> None:
    agent = Agent(Ledger(signed_keyset(1, policy=Policy(max_token_life_s=600))))
    assert agent.code(agent.mint(exp=NOW + 600)) == "accepted"
    assert agent.code(agent.mint(exp=NOW + 601)) == "exp"


@pytest.mark.parametrize(
    ("wall", "code"), [(NOW - 5, "accepted"), (NOW - 6, "iat"), (NOW - 10_000, "iat")]
)
def test_a_token_from_the_future_is_refused(wall: float, code: str) -> None:
    agent = Agent()
    text = agent.mint()
    agent.clock.wall = wall
    assert agent.code(text) == code
