"""A document signed by k of n keys: the general JWS JSON serialization (RFC 7515 section 7.2.1).

The payload stands once; every signature has a protected header of its own, checked by the same
strict core as any other JWS of ours.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from tocsin_schemas import base64url, jws, strict_json
from tocsin_schemas.errors import DocumentRejected, EncodingRejected, JwsRejected
from tocsin_schemas.jwk import PublicKey

MAX_SIGNATURES = 32


class DetachedSignature(Struct, frozen=True, forbid_unknown_fields=True):
    """One signer's protected header and signature, both base64url."""

    protected: str
    signature: str


class SignedDocument(Struct, frozen=True, forbid_unknown_fields=True):
    """The payload, base64url, and the signatures over it."""

    payload: str
    signatures: tuple[DetachedSignature, ...]


def payload_of(document: SignedDocument) -> bytes:
    """The payload's bytes, *before* any signature was looked at.

    Raises:
        DocumentRejected: ``document_malformed``.
    """
    try:
        return base64url.decode(document.payload)
    except EncodingRejected:
        raise DocumentRejected("document_malformed") from None


def sign(payload: Mapping[str, object], signers: Sequence[jws.Signer], typ: str) -> SignedDocument:
    """Sign ``payload`` with every signer."""
    body = base64url.encode(strict_json.dumps(payload))
    return SignedDocument(body, tuple(_sign_one(body, signer, typ) for signer in signers))


def _sign_one(body: str, signer: jws.Signer, typ: str) -> DetachedSignature:
    protected = jws.header_segment(signer, typ)
    signature = signer.sign(f"{protected}.{body}".encode("ascii"))
    return DetachedSignature(protected, base64url.encode(signature))


def signers_of(document: SignedDocument, keys: Mapping[str, PublicKey], typ: str) -> frozenset[str]:
    """The kids among ``keys`` whose signature over the document is good.

    Signatures by keys that are not in ``keys`` are passed over: during a change of roots a
    document carries those of the old and of the new ones.

    Raises:
        DocumentRejected: ``document_malformed`` where there are too many signatures.
    """
    if len(document.signatures) > MAX_SIGNATURES:
        raise DocumentRejected("document_malformed")
    good: set[str] = set()
    for one in document.signatures:
        try:
            header = jws.parse_header(one.protected)
            if header.typ == typ and header.kid in keys:
                signed = f"{one.protected}.{document.payload}"
                jws.check_signature(signed, one.signature, header, keys[header.kid])
                good.add(header.kid)
        except JwsRejected:
            continue
    return frozenset(good)
