"""The opening of a term on paper: what follows from a ledger, and what no ledger would follow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec import structs

from tests.support.keys import signer
from tests.support.ledger import (
    Ledger,
    make_keyset,
    pinned,
    revoke_token,
    root_set,
)
from tests.support.tokens import ISSUER
from tocsin_issuer.keys import root_signatures, term_draft
from tocsin_issuer.keys.signer import PrivateKeySigner
from tocsin_issuer.keys.term_draft import TermDraft
from tocsin_revocation_bus.core.replica import Replica
from tocsin_schemas import keyset as keysets
from tocsin_schemas import term
from tocsin_schemas.errors import DocumentRejected, LedgerRejected

ROOTS = [signer("Ed25519", f"ceremony-{number}") for number in range(3)]
STRANGER = signer("Ed25519", "ceremony-stranger")
HASH = "h" * 43


def ledger_of_two() -> Ledger:
    ledger = Ledger(keysets.sign(make_keyset(roots=root_set(ROOTS, 2)), [*ROOTS]))
    ledger.append(revoke_token("a"))
    return ledger


def replica_of(ledger: Ledger) -> Replica:
    return ledger.feed(Replica(ISSUER, pinned(ROOTS, 2)))


def held(drafted: TermDraft, by: Sequence[PrivateKeySigner], on: Replica) -> str:
    """The whole ceremony; returns ``opens`` or the code."""
    try:
        read = term_draft.read_draft(root_signatures.to_text(drafted))
        parts = [
            root_signatures.read_signature(root_signatures.to_text(term_draft.sign(read, root)))
            for root in by
        ]
        document = term_draft.assemble(read, parts)
        on_file = root_signatures.read_document(root_signatures.to_text(document))
        assert term_draft.check_offered(on, on_file) == read.statement
    except (DocumentRejected, LedgerRejected) as rejected:
        return rejected.code
    return "opens"


@pytest.mark.parametrize(
    ("by", "code"),
    [
        (ROOTS[:2], "opens"),
        ([ROOTS[2], ROOTS[0]], "opens"),
        (ROOTS, "opens"),
        (ROOTS[:1], "root_mismatch"),
        ([], "root_mismatch"),
        ([ROOTS[0], ROOTS[0]], "root_twice"),
        ([ROOTS[0], STRANGER], "root_unknown"),
    ],
)
def test_two_of_three_sign_each_alone(by: list[PrivateKeySigner], code: str) -> None:
    replica = replica_of(ledger_of_two())
    drafted = term_draft.on_head(replica)
    assert held(drafted, by, replica) == code
    assert any("1 -> 2" in line for line in drafted.lines())


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"base_n": 3}, "base_unknown"),
        ({"base_n": 1}, "base_superseded"),
        ({"base_hash": HASH}, "base_not_in_chain"),
        ({"term": 3}, "term_not_next"),
        ({"term": 3, "base_term": 2}, "term_not_next"),
        ({"state_hash": HASH}, "state_hash"),
        ({"iss": "https://other.example"}, "issuer"),
    ],
)
def test_what_no_agent_would_follow(changes: dict[str, Any], code: str) -> None:
    replica = replica_of(ledger_of_two())
    drafted = term_draft.on_head(replica)
    changed = structs.replace(drafted, statement=structs.replace(drafted.statement, **changes))
    assert held(changed, ROOTS, replica) == code
    with pytest.raises((DocumentRejected, LedgerRejected)) as caught:  # past all other checks
        term_draft.check_offered(replica, term.sign(changed.statement, [*ROOTS]))
    assert caught.value.code == code


def test_a_ledger_that_has_gone_on_since() -> None:
    ledger = ledger_of_two()
    drafted = term_draft.on_head(replica_of(ledger))
    ledger.append(revoke_token("b"))
    assert held(drafted, ROOTS, replica_of(ledger)) == "base_superseded"
    assert term_draft.on_head(replica_of(ledger), at=3).statement.base_n == 3
    for at, code in ((2, "base_superseded"), (4, "base_unknown")):
        with pytest.raises(LedgerRejected) as caught:
            term_draft.on_head(replica_of(ledger), at)
        assert caught.value.code == code


def test_a_ledger_without_a_good_record() -> None:
    document = term.sign(term_draft.on_head(replica_of(ledger_of_two())).statement, [*ROOTS])
    for replica in (Replica(ISSUER, pinned(ROOTS, 2)), Replica(ISSUER, pinned([STRANGER]))):
        with pytest.raises(LedgerRejected, match="no good record") as caught:
            term_draft.on_head(replica)
        assert caught.value.code == "no_ledger"
        with pytest.raises(LedgerRejected, match="no good record"):
            term_draft.check_offered(replica, document)


def test_signatures_over_something_else() -> None:
    ledger = ledger_of_two()
    earlier = term_draft.on_head(replica_of(ledger))
    ledger.append(revoke_token("b"))
    replica = replica_of(ledger)
    drafted = term_draft.on_head(replica)
    part = term_draft.sign(earlier, ROOTS[0])
    with pytest.raises(DocumentRejected) as caught:
        term_draft.assemble(drafted, [part])
    assert caught.value.code == "other_draft"
    relabelled = structs.replace(part, draft=drafted.digest())
    with pytest.raises(DocumentRejected) as caught:
        term_draft.assemble(drafted, [relabelled, term_draft.sign(drafted, ROOTS[1])])
    assert caught.value.code == "signature_bad"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"statement":1,"keyset":2}', "\ud800"])
def test_what_is_no_draft(text: str) -> None:
    with pytest.raises(DocumentRejected) as caught:
        term_draft.read_draft(text)
    assert caught.value.code == "document_malformed"
    for read in (root_signatures.read_signature, root_signatures.read_document):
        with pytest.raises(DocumentRejected):
            read(text)
