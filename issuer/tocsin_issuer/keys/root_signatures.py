"""What each operator signs by themselves, and how the parts become one document.

All sign the same canonical bytes, whose digest they can compare. It is the same for a keyset and
for the opening of a term.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import Struct, ValidationError, convert, structs, to_builtins

from tocsin_schemas import base64url, jws, signed_document, strict_json
from tocsin_schemas.errors import DocumentRejected, EncodingRejected, JwsRejected
from tocsin_schemas.jwk import PublicKey
from tocsin_schemas.signed_document import DetachedSignature, SignedDocument


class RootSignature(Struct, frozen=True, forbid_unknown_fields=True):
    """One operator's part: ``draft`` is the digest of what was signed."""

    draft: str
    signature: DetachedSignature


def digest_of(content: Struct) -> str:
    """SHA-256 of what is signed, base64url."""
    return base64url.encode(sha256(strict_json.dumps(to_builtins(content))).digest())


def to_text(part: Struct) -> str:
    """As it stands in a file: a draft, a signature or a signed document."""
    return msgspec.json.format(msgspec.json.encode(part), indent=2).decode() + "\n"


def read_signature(text: str | bytes) -> RootSignature:
    """Read one operator's part. Raises DocumentRejected ``document_malformed``."""
    try:
        return convert(members_of(text), RootSignature)
    except ValidationError:
        raise DocumentRejected("document_malformed", "not a root's signature") from None


def read_document(text: str | bytes) -> SignedDocument:
    """Read what has been assembled. Raises DocumentRejected ``document_malformed``."""
    try:
        return convert(members_of(text), SignedDocument)
    except ValidationError:
        raise DocumentRejected("document_malformed", "not a signed document") from None


def members_of(text: str | bytes) -> dict[str, Any]:
    """The members of a file. Raises DocumentRejected ``document_malformed``."""
    try:
        return strict_json.loads_object(text.encode() if isinstance(text, str) else text)
    except (EncodingRejected, UnicodeEncodeError):
        raise DocumentRejected("document_malformed", "not one strict JSON object") from None


def put_together(
    unsigned: SignedDocument, digest: str, parts: Iterable[RootSignature]
) -> SignedDocument:
    """The document with the operators' signatures, none of which has been checked.

    Raises:
        DocumentRejected: ``other_draft``.
    """
    signed = tuple(parts)
    if any(part.draft != digest for part in signed):
        raise DocumentRejected("other_draft", "a signature is for another draft")
    return structs.replace(unsigned, signatures=tuple(part.signature for part in signed))


def check_each(document: SignedDocument, roots: Mapping[str, PublicKey], typ: str) -> None:
    """Check each signature by itself; whether they are enough is for the trust core to say.

    Raises:
        DocumentRejected: ``root_unknown``, ``root_twice`` or ``signature_bad``.
    """
    seen: set[str] = set()
    for one in document.signatures:
        try:
            kid = jws.parse_header(one.protected).kid
        except JwsRejected:
            raise DocumentRejected("signature_bad", "a signature has no good header") from None
        if kid not in roots:
            raise DocumentRejected("root_unknown", "a signature is by no root that may sign this")
        if kid in seen:
            raise DocumentRejected("root_twice", "one root has signed twice")
        seen.add(kid)
        alone = structs.replace(document, signatures=(one,))
        if not signed_document.signers_of(alone, roots, typ):
            raise DocumentRejected("signature_bad", "a signature is not over this document")
