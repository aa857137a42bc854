"""Ours against PyJWT and joserfc, on seeds, on witnesses of known differences, and at random."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.verifier_agent.fuzz.campaign import Campaign, Tally, random_drafts
from tests.verifier_agent.fuzz.descriptions import known, resolved, seeds
from tests.verifier_agent.fuzz.differences import LOOSER, STRICTER
from tests.verifier_agent.fuzz.draft import build

EXECUTIONS = 8_000
SOMEBODY_ACCEPTS = 0.3
ALL_ACCEPT = 0.15


def judged(file: str, shows: str | None = None) -> Tally:
    drafts = [one.draft for one in known(file) if shows in (None, one.shows)]
    assert drafts or file == "regressions"
    return Campaign().run(drafts)


@pytest.mark.parametrize("name", list(seeds()))
def test_all_three_accept_the_seeds(name: str) -> None:
    """Else a mutated token might be refused for a mistake of the seed's."""
    tally = Campaign().run([seeds()[name]])
    assert (tally.findings, tally.accepted_by_all) == ([], 1)


@pytest.mark.parametrize("name", [*LOOSER, *STRICTER])
def test_every_known_difference_is_needed(name: str) -> None:
    tally = judged("witnesses", name)
    assert tally.findings == []
    assert tally.looser + tally.stricter == Counter({name: tally.executions})


def test_every_witness_shows_a_known_difference() -> None:
    assert {one.shows for one in known("witnesses")} == LOOSER.keys() | STRICTER.keys()


def test_what_was_found_before_is_not_found_again() -> None:
    assert judged("regressions").findings == []


def test_what_ours_accepts_all_accept_with_the_same_claims() -> None:
    """And nothing but TokenRejected escapes, and what both others accept is refused for a reason.

    A fuzzer whose tokens everybody refuses would find nothing: a good part must be accepted.
    """
    tally = Campaign().run(random_drafts(seed=20_261_115, count=EXECUTIONS))
    assert tally.findings == []
    assert tally.executions == EXECUTIONS
    assert tally.accepted_by_all > ALL_ACCEPT * EXECUTIONS
    assert tally.accepted_by_somebody > SOMEBODY_ACCEPTS * EXECUTIONS
    assert len(tally.by_code) > 15


def test_a_seed_gives_the_same_drafts() -> None:
    assert list(random_drafts(7, 50)) == list(random_drafts(7, 50))
    assert list(random_drafts(7, 50)) != list(random_drafts(8, 50))


def test_operations_change_what_they_are_meant_to() -> None:
    """An operation that does nothing would test nothing."""
    plain = seeds()["ES256"]
    for draft in (one.draft for one in known("witnesses")):
        start = seeds()[draft.seed]
        assert (
            build(start.then(*map(resolved, draft.ops))).split(".")[:2]
            != build(start).split(".")[:2]
        )
    for op in (("signature", "negative s"), ("token", "end", "="), ("sign", "nobody")):
        signature = build(plain.then(op)).split(".")[2]
        assert signature != build(plain).split(".")[2]
