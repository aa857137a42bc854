"""The root-signed statement behind `term-opened`: the ledger goes on from a base in a new term.

The last resort after a loss that the journal could not mend. Only the roots may say which of two
histories counts.
"""

from msgspec import Struct, ValidationError, convert, to_builtins

from tocsin_schemas import signed_document, strict_json
from tocsin_schemas.errors import DocumentRejected, EncodingRejected
from tocsin_schemas.events import Digest
from tocsin_schemas.jws import Signer
from tocsin_schemas.record import Count
from tocsin_schemas.signed_document import SignedDocument

TERM_TYP = "tocsin-term+jwt"


class TermStatement(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``term`` follows the base record, whose state has ``state_hash``."""

    iss: str
    term: Count
    base_term: Count
    base_n: Count
    base_hash: Digest
    state_hash: Digest


def sign(statement: TermStatement, roots: list[Signer]) -> SignedDocument:
    """Sign with every root given."""
    return signed_document.sign(to_builtins(statement), roots, TERM_TYP)


def parse_unverified(document: SignedDocument) -> TermStatement:
    """Read a statement whose signatures have not been looked at; the trust core does that.

    Raises:
        DocumentRejected: ``document_malformed``.
    """
    try:
        members = strict_json.loads_object(signed_document.payload_of(document))
        return convert(members, TermStatement)
    except (EncodingRejected, ValidationError):
        raise DocumentRejected("document_malformed") from None
