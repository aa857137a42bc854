"""The cache: bounded, filled by good tokens alone, and never a way round a check."""

from __future__ import annotations

import copy
import gc
import pickle
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from tests.support.agent import Agent
from tests.support.clock import LEASE_NOW, NOW, SECOND
from tests.support.forge import token
from tests.support.keys import signer
from tests.support.ledger import (
    DAY,
    LEDGER_KEY,
    STANDBY_KEY,
    TOKEN_KEY,
    Ledger,
    key_entry,
    publish,
    revoke_all,
    revoke_client,
    revoke_key,
    revoke_session,
    revoke_subject,
    revoke_token,
    signed_keyset,
)
from tests.support.tokens import AUDIENCE, claims, own_jti
from tocsin_schemas.errors import TokenRejected
from tocsin_verifier_agent.core.access_token import AccessToken
from tocsin_verifier_agent.core.authority import TrustedKey
from tocsin_verifier_agent.core.token_cache import CachedToken, TokenCache

OVERHEAD = 1152  # and a payload of two bytes, twice


def entry(**changes: Any) -> CachedToken:
    plain: dict[str, Any] = {
        "text": "t",
        "payload": b"{}",
        "token": AccessToken(aud="a", exp=NOW, iat=NOW, iss="i", sub="s"),
        "kid": "k",
        "key": TrustedKey(TOKEN_KEY.public, "k", {}, True, True, DAY),
        "generation": 0,
        "not_after": 0.0,
    }
    return CachedToken(**{**plain, **changes})


# --- bounds ----


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 6),
    st.integers(0, 8000),
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 2000), st.booleans()), max_size=40),
)
def test_entries_and_bytes_stay_within_their_bounds(
    most: int, size: int, steps: list[tuple[int, int, bool]]
) -> None:
    cache = TokenCache(max_entries=most, max_bytes=size)
    held: dict[str, int] = {}
    for name, length, keep in steps:
        text = f"{name}".rjust(length, "x")
        if keep:
            cache.put(entry(text=text))
            held[text] = len(text) + 2 * 2 + OVERHEAD
        else:
            cache.discard(text)
            assert cache.get(text) is None
        there = {text: cost for text, cost in held.items() if cache.get(text) is not None}
        assert len(there) == len(cache) <= most
        assert sum(there.values()) == cache._bytes <= size


SHAPES: dict[str, dict[str, Any]] = {
    "usual": {},
    "two hundred permissions": {"perms": [f"p{number:03d}" for number in range(200)]},
    "many audiences": {"aud": [AUDIENCE, *(f"a{number:03d}" for number in range(200))]},
    "actors": {"act": {"sub": "a", "act": {"sub": "b", "act": {"sub": "c"}}}},
    "claims of their own": {f"c{number}": number for number in range(200)},
    "long identifiers": {"sub": "s" * 250, "sid": "i" * 250, "client_id": "c" * 250},
}


@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES)
def test_no_entry_weighs_more_than_it_is_taken_for(changes: dict[str, Any]) -> None:
    agent = Agent()
    agent.verify(agent.mint())  # whatever is made once
    texts = [agent.mint(**changes) for _ in range(50)]
    gc.collect()
    before = agent.cache._bytes
    tracemalloc.start()
    try:
        for text in texts:
            agent.verify(text)
        gc.collect()
        weight, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    taken_for = agent.cache._bytes - before - sum(map(len, texts))
    assert 0 < weight <= taken_for < 6 * weight


def test_the_oldest_goes_first() -> None:
    cache = TokenCache(max_entries=3)
    for text in "abcd":
        cache.put(entry(text=text))
    assert cache.get("a") is None
    assert [cache.get(text) is not None for text in "bcd"] == [True, True, True]
    cache.put(entry(text="b"))  # in its old place
    cache.put(entry(text="e"))
    assert [cache.get(text) is not None for text in "bcde"] == [False, True, True, True]


def test_the_same_entry_again_changes_nothing() -> None:
    cache, one = TokenCache(max_entries=3), entry(text="a")
    for _ in range(10):
        cache.put(one)
    assert cache.get("a") is one
    assert (len(cache), cache._bytes, len(cache._order)) == (1, one.size, 1)


def test_what_was_discarded_takes_no_room_for_long() -> None:
    cache = TokenCache(max_entries=3)
    for _ in range(100):
        cache.put(entry(text="a"))
        cache.discard("a")
        assert len(cache._order) <= 3
    for text in "bcd":
        cache.put(entry(text=text))
    assert len(cache) == 3


def test_tokens_that_end_alike_are_told_apart() -> None:
    """Nobody can make two good ones; here, the same signature under two payloads."""
    cache, end = TokenCache(max_entries=3), "s" * 40
    cache.put(entry(text="one" + end))
    assert cache.get("one" + end) is not None
    assert cache.get("two" + end) is None
    cache.put(entry(text="two" + end))
    assert cache.get("one" + end) is None
    assert cache.get("two" + end) is not None
    assert len(cache) == 1
    agent = Agent()
    good = agent.mint()
    agent.verify(good)
    head, _, signature = good.split(".")
    assert agent.code(f"{head}.{agent.mint().split('.')[1]}.{signature}") == "signature"
    assert agent.code(good) == "accepted"
    assert len(agent.cache) == 1


def test_ten_thousand_tokens_of_a_thousand_subjects_fill_it_and_no_more() -> None:
    agent = Agent(cache=TokenCache(max_entries=5))
    texts = [agent.mint() for _ in range(20)]
    for text in texts:
        assert agent.code(text) == "accepted"
    assert len(agent.cache) == 5
    assert [agent.code(text) for text in texts] == ["accepted"] * 20


def test_bad_tokens_are_never_kept() -> None:
    agent = Agent()
    stranger = signer("Ed25519", "stranger")
    bad = [
        agent.mint(key=stranger),
        agent.mint()[:-4] + "AAAA",
        agent.mint(exp=NOW - 31, iat=NOW - 100),
        agent.mint(aud="other"),
        agent.mint(jti="not-ours"),
        token(TOKEN_KEY, claims(), typ="JWT"),
        "",
        "x" * 10_000,
    ]
    agent.fold(revoke_subject("revoked", NOW + 1), revoke_session("revoked"))
    bad += [agent.mint(sub="revoked"), agent.mint(sid="revoked")]
    for text in bad * 2:
        assert agent.code(text) not in {"accepted", "503 lease_lapsed"}
    assert len(agent.cache) == 0


def test_another_text_of_a_token_is_another_entry_and_no_hit() -> None:
    """The key is the whole text, signature included."""
    agent = Agent()
    text = agent.mint()
    agent.verify(text)
    head, body, signature = text.split(".")
    for other in (
        f"{head}.{body}.",
        f"{head}.{body}.{signature}x",
        f"{head}.{body}.{signature[:-1]}",
    ):
        assert agent.code(other) in {"signature", "segments"}


# --- what a hit still checks ----


def seen(agent: Agent, **changes: Any) -> str:
    text = agent.mint(**changes)
    agent.verify(text)
    assert len(agent.cache) == 1
    return text


RULES: dict[str, tuple[Any, str]] = {
    "its jti": (lambda c: revoke_token(c["jti"]), "token_revoked"),
    "its session": (lambda c: revoke_session(c["sid"]), "session_revoked"),
    "its subject": (lambda c: revoke_subject(c["sub"], c["iat"] + 1), "subject_revoked"),
    "its client": (lambda c: revoke_client(c["client_id"], c["iat"] + 1), "client_revoked"),
    "everything": (lambda c: revoke_all(c["iat"] + 1), "all_revoked"),
    "its key": (lambda _: revoke_key(TOKEN_KEY.kid), "key_revoked"),
}


@pytest.mark.parametrize(("rule", "code"), RULES.values(), ids=RULES)
def test_a_revocation_kills_a_cached_token_at_once(rule: Any, code: str) -> None:
    agent = Agent()
    text = seen(agent)
    members = agent.verify(text).claims
    agent.fold(rule(members))
    assert agent.code(text) == code
    assert len(agent.cache) == 0
    assert agent.code(text) == code
    assert len(agent.cache) == 0


@pytest.mark.parametrize(("rule", "code"), RULES.values(), ids=RULES)
def test_a_revocation_kills_a_new_token_as_well(rule: Any, code: str) -> None:
    agent = Agent()
    members = claims()
    agent.fold(rule(members))
    assert agent.code(token(TOKEN_KEY, members)) == code


def test_a_record_that_does_not_concern_a_token_leaves_it_good() -> None:
    agent = Agent()
    text = seen(agent)
    kept = agent.cache.get(text)
    assert kept is not None
    for _ in range(3):
        agent.fold(revoke_token(own_jti()))
        assert agent.code(text) == "accepted"
        assert agent.cache.get(text) is kept
        assert kept.generation == agent.replica.state.generation


def test_a_hit_checks_exp_against_the_wall_clock_and_against_g() -> None:
    agent = Agent()
    text = seen(agent, exp=NOW + 60)
    agent.clock.wall = NOW + 89.9
    assert agent.code(text) == "accepted"
    agent.clock.wall = NOW + 90
    assert agent.code(text) == "exp"
    agent.clock.wall = NOW + 89
    assert agent.code(text) == "accepted"


def test_a_wall_clock_that_was_set_back_revives_nothing_that_g_has_buried() -> None:
    agent = Agent()
    text = seen(agent, exp=NOW + 60)
    agent.clock.wall = NOW + 1000
    agent.fold(iat=NOW + 600 + 90)
    agent.clock.wall = NOW
    assert agent.code(text) == "exp"
    assert agent.code(agent.mint(exp=NOW + 59)) == "exp"
    assert agent.code(agent.mint(exp=NOW + 61)) == "accepted"


def test_a_hit_checks_the_lease() -> None:
    agent = Agent()
    text = seen(agent)
    agent.clock.lease = LEASE_NOW + 120 * SECOND + 1
    assert agent.code(text) == "503 lease_lapsed"
    agent.beat()
    assert agent.code(text) == "accepted"


def test_a_hit_checks_the_keys_window() -> None:
    keys = (
        key_entry(LEDGER_KEY, "ledger"),
        key_entry(TOKEN_KEY, "token", sign_until=NOW + 10, verify_until=NOW + 20),
    )
    agent = Agent(Ledger(signed_keyset(1, keys=keys)))
    text = seen(agent)
    agent.clock.wall = NOW + 20
    assert agent.code(text) == "accepted"
    agent.clock.wall = NOW + 21
    assert agent.code(text) == "key_window"


def test_a_key_that_left_the_keyset_is_dead_at_once() -> None:
    agent = Agent()
    text = seen(agent)
    keys = (key_entry(LEDGER_KEY, "ledger"), key_entry(STANDBY_KEY, "token"))
    agent.fold(publish(signed_keyset(2, keys=keys)))
    assert agent.code(text) == "kid"
    assert len(agent.cache) == 0


def test_a_key_whose_window_was_shortened_is_dead_at_once() -> None:
    agent = Agent()
    text = seen(agent)
    keys = (
        key_entry(LEDGER_KEY, "ledger"),
        key_entry(TOKEN_KEY, "token", sign_until=NOW - 1, verify_until=NOW + DAY),
    )
    agent.fold(publish(signed_keyset(2, keys=keys)))
    assert agent.code(text) == "key_window"


def test_a_revoked_key_stays_dead_whatever_keyset_comes() -> None:
    agent = Agent()
    text = seen(agent)
    agent.fold(revoke_key(TOKEN_KEY.kid))
    agent.fold(publish(signed_keyset(2)))
    assert agent.code(text) == "key_revoked"
    assert agent.code(agent.mint()) == "key_revoked"
    assert agent.code(agent.mint(key=STANDBY_KEY)) == "accepted"


# --- the claims ----


def test_the_claims_are_the_callers_own_copy() -> None:
    agent = Agent()
    text = seen(agent, perms=["orders:read"])
    found: Any = agent.verify(text)
    mine = found.claims
    mine["sub"] = "admin"
    mine["perms"].append("admin")
    del mine["exp"]
    for name in ("claims", "payload", "token", "valid_until"):
        with pytest.raises(AttributeError):
            setattr(found, name, None)
    for again in (found, agent.verify(text)):
        assert again.claims["sub"] == again.subject == "subject-17"
        assert "exp" in again.claims
        assert "admin" not in again.permissions


def test_what_a_handler_does_to_nested_claims_moves_no_rule() -> None:
    """The rules look at facts that were worked out once, and not at the claims."""
    agent = Agent()
    parent = own_jti()
    text = agent.mint(
        act={"sub": "gateway"}, orig={"jti": parent, "iat": NOW - 5}, perms=["orders:read"]
    )
    found: Any = agent.verify(text).claims
    found["act"]["sub"] = "innocent"
    found["orig"]["jti"] = own_jti()
    agent.fold(revoke_token(parent))
    assert agent.code(text) == "token_revoked"


def test_permissions_and_subject() -> None:
    agent = Agent()
    found = agent.verify(agent.mint(perms=["a", "b c"], scope="d  e"))
    assert found.permissions == {"a", "b c", "d", "e"}
    assert found.subject == "subject-17"
    assert agent.verify(agent.mint(scope=None)).permissions == frozenset()


class Wanted(Struct):
    """What a service wants of a token: msgspec reads it."""

    sub: str
    perms: list[str]


def test_claims_as_a_type_of_the_callers() -> None:
    agent = Agent()
    found = agent.verify(agent.mint(perms=["a"]))
    assert found.claims_as(Wanted) == Wanted("subject-17", ["a"])
    with pytest.raises(TokenRejected) as caught:
        agent.verify(agent.mint(perms=None)).claims_as(Wanted)
    assert caught.value.code == "claims"


def test_a_result_can_be_copied_or_says_that_it_cannot() -> None:
    """Handlers hand it on; nothing they do may reach the cache."""
    agent = Agent()
    text = seen(agent)
    found = agent.verify(text)
    assert copy.copy(found) == found
    for leave in (pickle.dumps, copy.deepcopy):
        try:
            leave(found)
        except TypeError:
            continue
    assert agent.verify(text) == found


def test_errors_are_not_kept_either() -> None:
    agent = Agent()
    with pytest.raises(TokenRejected) as first:
        agent.verify("x.y.z")
    with pytest.raises(TokenRejected) as second:
        agent.verify("x.y.z")
    assert first.value is not second.value
