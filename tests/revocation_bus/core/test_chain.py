"""Which record may follow which."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.clock import NOW
from tests.support.tokens import ISSUER
from tocsin_revocation_bus.core.chain import REMEMBERED, Head, PastHashes, check_link, head_of
from tocsin_schemas.errors import LedgerHalted, LedgerRejected
from tocsin_schemas.record import GENESIS_PREV, Record
from tocsin_schemas.term import TermStatement

HEAD = Head(term=3, n=7, hash="h" * 43, iat=NOW)


def make(**changes: Any) -> Record:
    plain: dict[str, Any] = {
        "iss": ISSUER,
        "iat": NOW,
        "txn": "t",
        "term": 3,
        "n": 8,
        "prev": HEAD.hash,
        "events": (),
        "unknown": (),
        "hash": "i" * 43,
        "text": "",
        **changes,
    }
    return Record(**plain)


def statement(**changes: Any) -> TermStatement:
    plain: dict[str, Any] = {
        "iss": ISSUER,
        "term": 4,
        "base_term": HEAD.term,
        "base_n": HEAD.n,
        "base_hash": HEAD.hash,
        "state_hash": "s" * 43,
        **changes,
    }
    return TermStatement(**plain)


def test_the_next_record_fits() -> None:
    check_link(HEAD, make())
    check_link(HEAD, make(iat=NOW + 10_000))
    assert head_of(make()) == Head(3, 8, "i" * 43, NOW)


def test_the_first_record_fits() -> None:
    check_link(None, make(term=1, n=1, prev=GENESIS_PREV))


@pytest.mark.parametrize(
    "changes",
    [
        {"prev": "x" * 43},
        {"prev": GENESIS_PREV},
        {"prev": HEAD.hash + "\n"},
        {"term": 2},
        {"term": 4},
        {"term": 10**9},
        {"n": 7},
        {"n": 1},
        {"iat": NOW - 1},
        {"iat": 0},
    ],
)
def test_a_signed_record_that_does_not_fit_halts(changes: dict[str, Any]) -> None:
    with pytest.raises(LedgerHalted, match=r"does not follow|older"):
        check_link(HEAD, make(**changes))


@pytest.mark.parametrize("n", [9, 10, 10**6])
@pytest.mark.parametrize("term", [3, 4])
def test_a_gap_is_no_evidence_of_anything(n: int, term: int) -> None:
    with pytest.raises(LedgerRejected) as caught:
        check_link(HEAD, make(n=n, term=term, prev="x" * 43, iat=0))
    assert caught.value.code == "record_gap"
    assert not isinstance(caught.value, LedgerHalted)


@pytest.mark.parametrize(
    "changes", [{"term": 2}, {"term": 1, "prev": "x" * 43}, {"term": 2, "prev": GENESIS_PREV}]
)
def test_a_wrong_start_halts(changes: dict[str, Any]) -> None:
    plain: dict[str, Any] = {"term": 1, "n": 1, "prev": GENESIS_PREV, **changes}
    with pytest.raises(LedgerHalted):
        check_link(None, make(**plain))


def test_without_a_start_any_other_record_is_a_gap() -> None:
    with pytest.raises(LedgerRejected) as caught:
        check_link(None, make(n=2, term=1))
    assert caught.value.code == "record_gap"


# --- terms ----------------------------------------------------------------------------------------


def test_a_term_opens_on_its_base() -> None:
    check_link(HEAD, make(term=4), statement())


@pytest.mark.parametrize(
    "changes",
    [
        {"base_n": 6},
        {"base_n": 8},
        {"base_term": 2},
        {"base_hash": "x" * 43},
        {"term": 3},
        {"term": 5},
        {"term": 2},
    ],
)
def test_a_term_on_another_base_halts(changes: dict[str, Any]) -> None:
    opened = statement(**changes)
    with pytest.raises(LedgerHalted, match="base"):
        check_link(HEAD, make(term=opened.term), opened)


def test_a_term_whose_record_is_of_another_term_halts() -> None:
    for term in (3, 5):
        with pytest.raises(LedgerHalted):
            check_link(HEAD, make(term=term), statement())


def test_a_term_that_starts_beyond_our_head_is_a_gap() -> None:
    """An agent that is merely behind must not take the statement for evidence."""
    opened = statement(base_n=9, base_hash="x" * 43)
    with pytest.raises(LedgerRejected) as caught:
        check_link(HEAD, make(term=4, n=10, prev="x" * 43), opened)
    assert caught.value.code == "record_gap"


# --- the past -------------------------------------------------------------------------------------


def test_what_is_known_is_contradicted_by_another_hash_alone() -> None:
    past = PastHashes()
    past.remember((1, 1), "a")
    assert past.contradicts((1, 1), "b")
    assert not past.contradicts((1, 1), "a")
    assert not past.contradicts((1, 2), "b")
    assert not past.contradicts((2, 1), "b")


def test_the_past_is_bounded_and_forgets_the_oldest() -> None:
    past = PastHashes()
    for n in range(REMEMBERED + 10):
        past.remember((1, n), "a")
    assert not past.contradicts((1, 9), "b")
    assert past.contradicts((1, 10), "b")
    assert past.contradicts((1, REMEMBERED + 9), "b")
