"""The opening of a term on its way through a ceremony: drafted, signed by each operator, assembled.

What is drafted follows from the ledger alone, as every agent reads it. Agents follow into a term
only from its base, and they have applied every good record; so the base is the last good one.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, ValidationError, convert

from tocsin_issuer.keys.draft import trust_in
from tocsin_issuer.keys.root_signatures import (
    RootSignature,
    check_each,
    digest_of,
    members_of,
    put_together,
)
from tocsin_revocation_bus.core.chain import Head
from tocsin_revocation_bus.core.replica import Replica
from tocsin_revocation_bus.core.trust import Trust
from tocsin_schemas import term
from tocsin_schemas.errors import DocumentRejected, LedgerRejected
from tocsin_schemas.jws import Signer
from tocsin_schemas.signed_document import SignedDocument
from tocsin_schemas.term import TERM_TYP, TermStatement


class TermDraft(Struct, frozen=True, forbid_unknown_fields=True):
    """An unsigned statement, and the keyset in force at its base, whose roots must sign."""

    statement: TermStatement
    keyset: SignedDocument

    def digest(self) -> str:
        """SHA-256 of what is signed, base64url."""
        return digest_of(self.statement)

    def lines(self) -> list[str]:
        """What a person reads before they sign."""
        said = self.statement
        return [
            f"issuer   {said.iss}",
            f"term     {said.base_term} -> {said.term}",
            f"base     record {said.base_n}, {said.base_hash}",
            f"state    {said.state_hash}",
            "whatever was signed after the base counts for nothing",
        ]


def on_head(replica: Replica, at: int | None = None) -> TermDraft:
    """The draft of a term on the last good record of a ledger that has been read to its end.
    ``at`` is the number that this record must have.

    Raises:
        LedgerRejected: ``no_ledger``, ``root_mismatch`` (not the pinned roots' ledger), or of
            ``at``, ``base_unknown`` or ``base_superseded``.
    """
    head, document = _head_of(replica)
    _check_place(head.n, head.n if at is None else at)
    statement = TermStatement(
        iss=replica.trust.issuer,
        term=head.term + 1,
        base_term=head.term,
        base_n=head.n,
        base_hash=head.hash,
        state_hash=replica.state.hash(),
    )
    return TermDraft(statement, document)


def read_draft(text: str | bytes) -> TermDraft:
    """Read a draft and check it as far as that goes without the ledger.

    Raises:
        DocumentRejected: ``document_malformed``, ``issuer``, or as :func:`trust_in`.
        LedgerRejected: ``term_not_next``.
    """
    try:
        read = convert(members_of(text), TermDraft)
    except ValidationError:
        raise DocumentRejected("document_malformed", "not a draft of a term") from None
    if read.statement.iss != trust_in(read.keyset).issuer:
        raise DocumentRejected("issuer", "the keyset is another issuer's")
    _check_number(read.statement)
    return read


def sign(draft: TermDraft, root: Signer) -> RootSignature:
    """Sign a draft.

    Raises:
        DocumentRejected: ``root_unknown``.
    """
    keyset = trust_in(draft.keyset).keyset
    if keyset is None or root.kid not in keyset.roots.public_keys():
        raise DocumentRejected("root_unknown", "the keyset does not list this root")
    return RootSignature(draft.digest(), term.sign(draft.statement, [root]).signatures[0])


def assemble(draft: TermDraft, signatures: Iterable[RootSignature]) -> SignedDocument:
    """Put the operators' signatures together.

    Raises:
        DocumentRejected: ``other_draft``, and as :func:`check_signed`.
    """
    document = put_together(term.sign(draft.statement, []), draft.digest(), signatures)
    check_signed(trust_in(draft.keyset), document)
    return document


def check_signed(trust: Trust, document: SignedDocument) -> TermStatement:
    """Check who has signed, and return what.

    Raises:
        DocumentRejected: ``document_malformed``, ``issuer``, ``root_unknown``, ``root_twice``,
            ``signature_bad`` or ``root_mismatch`` (too few).
    """
    if trust.keyset is not None:
        check_each(document, trust.keyset.roots.public_keys(), TERM_TYP)
    return trust.check_term(document)


def check_offered(replica: Replica, document: SignedDocument) -> TermStatement:
    """Check an opening against the ledger, read to its end, as every agent will.

    Raises:
        DocumentRejected: as :func:`check_signed`.
        LedgerRejected: ``no_ledger``, ``root_mismatch``, ``term_not_next``, ``base_unknown``,
            ``base_superseded``, ``base_not_in_chain`` or ``state_hash``.
    """
    head, _ = _head_of(replica)
    said = check_signed(replica.trust, document)
    _check_number(said)
    if said.base_term != head.term:
        raise LedgerRejected("term_not_next", "the ledger is not in the term before that")
    _check_place(head.n, said.base_n)
    if said.base_hash != head.hash:
        raise LedgerRejected("base_not_in_chain", "the ledger holds another record at the base")
    if said.state_hash != replica.state.hash():
        raise LedgerRejected("state_hash", "the ledger amounts to another state at the base")
    return said


def _head_of(replica: Replica) -> tuple[Head, SignedDocument]:
    """The last good record, and the keyset in force there."""
    head, trust = replica.head, replica.trust
    if head is None or trust.document is None:
        raise LedgerRejected("no_ledger", "the stream holds no good record: no term can be opened")
    if not trust.anchored:
        raise LedgerRejected("root_mismatch", "the ledger is not of the pinned roots")
    return head, trust.document


def _check_number(said: TermStatement) -> None:
    if said.term != said.base_term + 1:
        raise LedgerRejected("term_not_next", "a term follows that of its base")


def _check_place(last: int, n: int) -> None:
    if n > last:
        raise LedgerRejected("base_unknown", f"the last good record is {last}: there is no {n}")
    if n < last:
        raise LedgerRejected(
            "base_superseded", f"agents have applied record {last}: they follow from no other base"
        )
