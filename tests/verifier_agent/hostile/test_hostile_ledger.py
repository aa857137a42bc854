"""Replayed, reordered and old key and revocation events: nothing brings back what was revoked."""

from __future__ import annotations

from random import Random

import pytest

from tests.support.agent import Agent
from tests.support.ledger import (
    STANDBY_KEY,
    TOKEN_KEY,
    publish,
    revoke_key,
    revoke_session,
    revoke_subject,
    revoke_token,
    signed_keyset,
)
from tests.support.tokens import own_jti
from tocsin_revocation_bus.core.replica import Outcome


def after_every_kind_of_revocation() -> tuple[Agent, dict[str, str]]:
    """An agent, and a token for each rule that its ledger holds."""
    agent = Agent()
    jti = own_jti()
    texts = {
        "token_revoked": agent.mint(STANDBY_KEY, jti=jti),
        "session_revoked": agent.mint(STANDBY_KEY, sid="lost"),
        "subject_revoked": agent.mint(STANDBY_KEY, sub="leaver"),
        "key_revoked": agent.mint(TOKEN_KEY),
        "accepted": agent.mint(STANDBY_KEY),
    }
    assert {agent.code(text) for text in texts.values()} == {"accepted"}
    agent.fold(revoke_token(jti))
    agent.fold(revoke_session("lost"))
    agent.fold(revoke_subject("leaver", int(agent.clock.wall) + 1))
    agent.fold(publish(signed_keyset(2)))
    agent.fold(revoke_key(TOKEN_KEY.kid))
    agent.beat()
    return agent, texts


def codes(agent: Agent, texts: dict[str, str]) -> dict[str, str]:
    return {code: agent.code(text) for code, text in texts.items()}


@pytest.mark.parametrize("seed", range(8))
def test_the_past_in_any_order_brings_nothing_back(seed: int) -> None:
    """Old records, keysets among them, are noise: applied never, remembered never twice."""
    agent, texts = after_every_kind_of_revocation()
    before = codes(agent, texts)
    assert before == {code: code for code in texts}
    rng = Random(seed)
    past = agent.ledger.texts * 3
    rng.shuffle(past)
    for text in past:
        outcome = agent.replica.apply_record(text, agent.clock.lease, agent.clock.wall)
        assert outcome is not Outcome.APPLIED
        assert codes(agent, texts) == before


def test_a_revocation_that_comes_twice_is_one() -> None:
    agent, texts = after_every_kind_of_revocation()
    agent.fold(revoke_session("lost"))
    agent.fold(
        revoke_subject("leaver", int(agent.clock.wall) - 500)
    )  # a lower cutoff lifts nothing
    agent.beat()
    assert codes(agent, texts) == {code: code for code in texts}


def test_a_new_keyset_that_names_a_revoked_key_does_not_revive_it() -> None:
    agent, texts = after_every_kind_of_revocation()
    agent.fold(publish(signed_keyset(3)))
    agent.beat()
    assert codes(agent, texts) == {code: code for code in texts}
