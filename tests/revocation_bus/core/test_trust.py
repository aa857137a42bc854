"""Trust: only the roots grant it, step by step, and never backwards."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.keys import signer
from tests.support.ledger import (
    LEDGER_KEY,
    ROOT,
    STANDBY_KEY,
    TOKEN_KEY,
    key_entry,
    pinned,
    root_set,
    signed_keyset,
)
from tests.support.tokens import ISSUER
from tocsin_issuer.keys.signer import PrivateKeySigner
from tocsin_revocation_bus.core.trust import PinnedRoots, Trust
from tocsin_schemas import term
from tocsin_schemas.errors import DocumentRejected
from tocsin_schemas.signed_document import SignedDocument
from tocsin_schemas.term import TermStatement

OLD = [signer("Ed25519", f"old-root-{number}") for number in range(3)]
NEW = [signer("Ed25519", f"new-root-{number}") for number in range(3)]
STRANGER = signer("Ed25519", "stranger")


def start(document: SignedDocument | None = None, pins: PinnedRoots | None = None) -> Trust:
    trust = Trust(ISSUER, pinned() if pins is None else pins)
    return trust.accept(signed_keyset() if document is None else document)


def refused(trust: Trust, document: SignedDocument) -> str:
    with pytest.raises(DocumentRejected) as caught:
        trust.accept(document)
    return caught.value.code


def test_a_keyset_signed_by_the_pinned_root_is_accepted() -> None:
    trust = start()
    assert set(trust.token_keys) == {TOKEN_KEY.kid, STANDBY_KEY.kid}
    assert set(trust.ledger_keys) == {LEDGER_KEY.kid}


def test_accepting_leaves_the_old_trust_as_it_was() -> None:
    before = Trust(ISSUER, pinned())
    before.accept(signed_keyset())
    assert before.keyset is None
    assert not before.token_keys


@given(st.lists(st.integers(1, 8), max_size=8))
@settings(max_examples=40, deadline=None)
def test_versions_only_go_up(versions: list[int]) -> None:
    trust = Trust(ISSUER, pinned())
    highest = 0
    for version in versions:
        document = signed_keyset(version)
        if version > highest:
            trust, highest = trust.accept(document), version
        else:
            assert refused(trust, document) == "keyset_version"
        assert trust.keyset is not None
        assert trust.keyset.version == highest


def test_an_old_keyset_brings_no_key_back() -> None:
    """Replayed and reordered keysets, the old ones among them."""
    first = signed_keyset(1)
    only_standby = (key_entry(LEDGER_KEY, "ledger"), key_entry(STANDBY_KEY, "token"))
    trust = start(first).accept(signed_keyset(2, keys=only_standby))
    for document in (first, signed_keyset(1), signed_keyset(2)):
        assert refused(trust, document) == "keyset_version"
    assert TOKEN_KEY.kid not in trust.token_keys
    assert TOKEN_KEY.kid not in trust.windows


@pytest.mark.parametrize(
    ("by", "code"),
    [
        pytest.param([STRANGER], "root_mismatch", id="a stranger"),
        pytest.param([], "root_mismatch", id="nobody"),
        pytest.param([LEDGER_KEY], "root_mismatch", id="the ledger key"),
        pytest.param([TOKEN_KEY], "root_mismatch", id="a token key"),
        pytest.param([STRANGER, LEDGER_KEY, TOKEN_KEY], "root_mismatch", id="all of them"),
    ],
)
def test_only_roots_grant_trust(by: list[PrivateKeySigner], code: str) -> None:
    assert refused(Trust(ISSUER, pinned()), signed_keyset(by=by)) == code
    assert refused(start(), signed_keyset(2, by=by)) == code


def test_a_keyset_that_brings_its_own_roots_is_refused() -> None:
    """The roots in a document count only once the pinned ones have signed it."""
    own = root_set([STRANGER])
    assert (
        refused(Trust(ISSUER, pinned()), signed_keyset(by=[STRANGER], roots=own)) == "root_mismatch"
    )
    both = root_set([STRANGER, ROOT])
    for by in ([STRANGER], [ROOT, STRANGER]):
        trust = Trust(ISSUER, pinned(threshold=2))
        assert refused(trust, signed_keyset(by=by, roots=both)) == "root_mismatch"


def test_a_pinned_root_that_the_keyset_does_not_list_does_not_count() -> None:
    document = signed_keyset(by=[ROOT, STRANGER], roots=root_set([STRANGER]))
    assert refused(Trust(ISSUER, pinned()), document) == "root_mismatch"


def test_no_pins_and_no_threshold_let_nobody_in() -> None:
    for pins in (PinnedRoots(frozenset()), PinnedRoots(frozenset(), 0), pinned(threshold=0)):
        assert refused(Trust(ISSUER, pins), signed_keyset(by=[STRANGER])) == "root_mismatch"
    nobody = signed_keyset(by=[])
    assert refused(Trust(ISSUER, pinned(threshold=0)), nobody) == "root_mismatch"


@pytest.mark.parametrize(
    "iss", [ISSUER + "/", ISSUER[:-1], "https://other.example", ISSUER.upper()]
)
def test_another_issuers_keyset_is_refused(iss: str) -> None:
    assert refused(Trust(ISSUER, pinned()), signed_keyset(iss=iss)) == "issuer"
    assert refused(start(), signed_keyset(2, iss=iss)) == "issuer"


def test_a_document_with_another_payload_is_refused() -> None:
    good, evil = signed_keyset(1), signed_keyset(2, by=[STRANGER])
    assert refused(start(), SignedDocument(evil.payload, good.signatures)) == "root_mismatch"


# --- k of n -------------------------------------------------------------------------------------


def test_two_of_three() -> None:
    roots = root_set(OLD, 2)
    trust = start(signed_keyset(1, by=OLD[:2], roots=roots), pinned(OLD, 2))
    for size in range(4):
        for by in combinations(OLD, size):
            document = signed_keyset(2, by=by, roots=roots)
            if size >= 2:
                assert trust.accept(document).keyset is not None
            else:
                assert refused(trust, document) == "root_mismatch"


def test_one_root_that_signs_twice_is_one_root() -> None:
    roots = root_set(OLD, 2)
    trust = start(signed_keyset(1, by=OLD, roots=roots), pinned(OLD, 2))
    twice = signed_keyset(2, by=[OLD[0], OLD[0]], roots=roots)
    assert refused(trust, twice) == "root_mismatch"


def test_the_pins_count_even_where_the_document_asks_for_less() -> None:
    lax = root_set(OLD, 1)
    assert (
        refused(Trust(ISSUER, pinned(OLD, 2)), signed_keyset(by=OLD[:1], roots=lax))
        == "root_mismatch"
    )
    strict = root_set(OLD, 3)
    assert refused(Trust(ISSUER, pinned(OLD, 2)), signed_keyset(by=OLD[:2], roots=strict)) == (
        "root_mismatch"
    )


# --- rotation -----------------------------------------------------------------------------------


def old_trust() -> Trust:
    return start(signed_keyset(1, by=OLD, roots=root_set(OLD, 2)), pinned(OLD, 2))


@pytest.mark.parametrize(
    ("by", "accepted"),
    [
        pytest.param([*OLD[:2], *NEW[:2]], True, id="enough of both"),
        pytest.param([*OLD, *NEW], True, id="all"),
        pytest.param(OLD, False, id="the old alone"),
        pytest.param(NEW, False, id="the new alone"),
        pytest.param([OLD[0], *NEW], False, id="one old"),
        pytest.param([*OLD, NEW[0]], False, id="one new"),
    ],
)
def test_new_roots_need_the_old_and_themselves(by: list[PrivateKeySigner], accepted: bool) -> None:
    document = signed_keyset(2, by=by, roots=root_set(NEW, 2, version=2))
    if accepted:
        after = old_trust().accept(document)
        again = root_set(NEW, 2, version=2)
        assert after.accept(signed_keyset(3, by=NEW[:2], roots=again)).keyset is not None
        assert refused(after, signed_keyset(3, by=OLD, roots=again)) == "root_mismatch"
    else:
        assert refused(old_trust(), document) == "root_mismatch"


@pytest.mark.parametrize("version", [1, 3, 4, 100])
def test_roots_change_one_version_at_a_time(version: int) -> None:
    document = signed_keyset(2, by=[*OLD, *NEW], roots=root_set(NEW, 2, version=version))
    assert refused(old_trust(), document) == "root_version"


def test_a_lower_threshold_is_a_change_of_roots() -> None:
    for version, code in ((1, "root_version"), (2, "")):
        document = signed_keyset(2, by=OLD[:2], roots=root_set(OLD, 1, version=version))
        if code:
            assert refused(old_trust(), document) == code
        else:
            assert old_trust().accept(document).keyset is not None


def test_the_old_roots_do_not_come_back() -> None:
    rotated = old_trust().accept(
        signed_keyset(2, by=[*OLD, *NEW], roots=root_set(NEW, 2, version=2))
    )
    for version in (1, 2, 3):
        back = signed_keyset(3, by=OLD, roots=root_set(OLD, 2, version=version))
        assert refused(rotated, back) == "root_mismatch"


def test_new_roots_that_cannot_sign_are_refused() -> None:
    unreachable = root_set(NEW[:1], 2, version=2)
    document = signed_keyset(2, by=[*OLD, *NEW], roots=unreachable)
    assert refused(old_trust(), document) == "root_malformed"


# --- keys ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "entry",
    [
        {"kid": STRANGER.kid},
        {"jwk": {"kty": "oct", "k": "AAAA"}},
        {"jwk": dict(STRANGER.public.jwk)},
        {"alg": "ES256"},
    ],
)
def test_a_keyset_with_one_bad_key_is_refused_whole(entry: dict[str, Any]) -> None:
    """It is signed by people, and a bad key in it is a mistake of theirs."""
    for use in ("token", "ledger"):
        keys = (key_entry(LEDGER_KEY, "ledger"), key_entry(TOKEN_KEY, use, **entry))
        assert refused(start(), signed_keyset(2, keys=keys)) == "key_malformed"


# --- the term statement -------------------------------------------------------------------------

STATEMENT = TermStatement(
    iss=ISSUER, term=2, base_term=1, base_n=1, base_hash="h" * 43, state_hash="s" * 43
)


def test_a_term_statement_needs_the_roots_in_force() -> None:
    trust = old_trust()
    assert trust.check_term(term.sign(STATEMENT, [*OLD[:2]])) == STATEMENT
    for by in ([], OLD[:1], NEW, [LEDGER_KEY, TOKEN_KEY], [OLD[0], OLD[0]]):
        with pytest.raises(DocumentRejected, match="roots"):
            trust.check_term(term.sign(STATEMENT, [*by]))


def test_a_term_statement_of_another_issuer_is_refused() -> None:
    other = TermStatement(
        iss="https://other.example",
        term=2,
        base_term=1,
        base_n=1,
        base_hash="h" * 43,
        state_hash="s" * 43,
    )
    with pytest.raises(DocumentRejected, match="issuer"):
        old_trust().check_term(term.sign(other, [*OLD]))


def test_a_term_statement_before_any_keyset_is_refused() -> None:
    with pytest.raises(DocumentRejected):
        Trust(ISSUER, pinned(OLD)).check_term(term.sign(STATEMENT, [*OLD]))


def test_a_keyset_passes_for_no_term_statement() -> None:
    with pytest.raises(DocumentRejected):
        old_trust().check_term(signed_keyset(2, by=OLD, roots=root_set(OLD, 2)))


# --- roots pinned later than the ledger's first ones ----------------------------------------------


def later(version: int = 2) -> PinnedRoots:
    """The file of a service that was enrolled after a change of roots."""
    return PinnedRoots(frozenset(root.kid for root in NEW), 2, version)


def old_roots(version: int = 1, **more: Any) -> SignedDocument:
    return signed_keyset(version, by=OLD[:2], roots=root_set(OLD, 2), **more)


def handed_over(version: int = 2, by: list[PrivateKeySigner] | None = None) -> SignedDocument:
    return signed_keyset(
        version, by=[*OLD[:2], *NEW[:2]] if by is None else by, roots=root_set(NEW, 2, 2)
    )


def test_whoever_pins_the_new_roots_follows_the_old_ones_and_believes_nothing() -> None:
    before = Trust(ISSUER, later()).accept(old_roots())
    assert not before.anchored
    assert not before.accept(old_roots(2)).anchored
    after = before.accept(handed_over())
    assert after.anchored
    assert after.accept(signed_keyset(3, by=NEW[1:], roots=root_set(NEW, 2, 2))).anchored


def test_roots_that_are_pinned_are_asked_for_at_their_version() -> None:
    """An older set may be followed; one of that version that is another is nobody's."""
    trust = Trust(ISSUER, later()).accept(old_roots())
    others = [STRANGER, *NEW[:1]]
    for roots, by in (
        (root_set([STRANGER], 1, 2), [*OLD[:2], STRANGER]),
        (root_set(others, 2, 2), [*OLD[:2], *others]),
        (root_set(NEW, 1, 2), [*OLD[:2], NEW[0]]),
    ):
        assert refused(trust, signed_keyset(2, by=by, roots=roots)) == "root_mismatch"
    assert refused(trust, handed_over(by=NEW)) == "root_mismatch"  # the old ones let go too
    assert refused(Trust(ISSUER, later()), handed_over(by=OLD)) == "root_mismatch"
    late = root_set([STRANGER], 1, 3)
    assert refused(Trust(ISSUER, later()), signed_keyset(1, by=[STRANGER], roots=late)) == (
        "root_mismatch"
    )


def test_the_first_roots_are_never_followed_unpinned() -> None:
    assert refused(Trust(ISSUER, later(1)), old_roots()) == "root_mismatch"
    assert start().anchored
