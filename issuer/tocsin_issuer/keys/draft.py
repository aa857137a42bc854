"""A keyset on its way through a ceremony: drafted, signed by each operator, assembled.

A draft is a file that people read. What is signed is its keyset in canonical form, so every
operator signs the same bytes, on a machine of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from msgspec import Struct, ValidationError, convert

from tocsin_issuer.keys.root_signatures import (
    RootSignature,
    check_each,
    digest_of,
    members_of,
    put_together,
)
from tocsin_revocation_bus.core.trust import PinnedRoots, Trust
from tocsin_schemas import jwk, signed_document, strict_json
from tocsin_schemas import keyset as keysets
from tocsin_schemas.errors import DocumentRejected, EncodingRejected, KeyRejected
from tocsin_schemas.jws import Signer
from tocsin_schemas.keyset import KEYSET_TYP, MAX_KEYSET_LIFE_S, Keyset, Policy
from tocsin_schemas.signed_document import SignedDocument

_Part = TypeVar("_Part")


class KeysetDraft(Struct, frozen=True, forbid_unknown_fields=True):
    """An unsigned keyset, and the signed one that it follows (None where it is the first)."""

    keyset: Keyset
    replaces: SignedDocument | None = None

    def before(self) -> Keyset | None:
        """The keyset that this one follows.

        Raises:
            DocumentRejected: its own roots did not sign it.
        """
        return None if self.replaces is None else trust_in(self.replaces).keyset

    def digest(self) -> str:
        """SHA-256 of what is signed, base64url."""
        return digest_of(self.keyset)


def read_draft(text: str | bytes) -> KeysetDraft:
    """Read a draft and check it as far as that goes without signatures.

    Raises:
        DocumentRejected: ``policy_out_of_caps``, ``keyset_version``, ``document_malformed``, or as
            :func:`check_content`.
    """
    members = members_of(text)
    draft = _convert(members, KeysetDraft, members.get("keyset"))
    check_content(draft.keyset)
    before = draft.before()
    if before is not None:
        check_follows(before, draft.keyset)
    return draft


def sign(draft: KeysetDraft, root: Signer) -> RootSignature:
    """Sign a draft.

    Raises:
        DocumentRejected: ``root_unknown``: neither the old nor the new roots have this one.
    """
    if root.kid not in roots_of(draft.before(), draft.keyset):
        raise DocumentRejected("root_unknown", "neither keyset lists this root")
    return RootSignature(draft.digest(), keysets.sign(draft.keyset, [root]).signatures[0])


def assemble(draft: KeysetDraft, signatures: Iterable[RootSignature]) -> SignedDocument:
    """Put the operators' signatures together, and check the whole as every agent will.

    Raises:
        DocumentRejected: ``other_draft``, and as :func:`check_signed`.
    """
    document = put_together(keysets.sign(draft.keyset, []), draft.digest(), signatures)
    check_signed(None if draft.replaces is None else trust_in(draft.replaces), document)
    return document


def check_signed(current: Trust | None, document: SignedDocument) -> Keyset:
    """Check an assembled keyset against the one in force (None: there is none), and return it.

    Raises:
        DocumentRejected: ``root_unknown``, ``root_twice``, ``signature_bad``, ``root_mismatch``
            (too few), ``root_version``, ``keyset_version``, ``expires_too_far``,
            ``policy_out_of_caps``, or as :meth:`Trust.accept`.
    """
    try:
        members = strict_json.loads_object(signed_document.payload_of(document))
    except EncodingRejected:
        raise DocumentRejected("document_malformed") from None
    keyset = _convert(members, Keyset, members)
    check_content(keyset)
    before = None if current is None else current.keyset
    if before is not None:
        check_follows(before, keyset)
    check_each(document, roots_of(before, keyset), KEYSET_TYP)
    if current is None:
        current = Trust(keyset.iss, _pins(keyset))
    current.accept(document)
    return keyset


def trust_in(document: SignedDocument) -> Trust:
    """Trust in a keyset by the roots that it names itself: for whoever has it from a place that is
    trusted.

    Raises:
        DocumentRejected: as :meth:`Trust.accept`.
    """
    claimed = keysets.parse_unverified(document)
    return Trust(claimed.iss, _pins(claimed)).accept(document)


def check_content(keyset: Keyset) -> None:
    """Check what can be checked without signatures.

    Raises:
        DocumentRejected: ``expires_too_far``, ``document_malformed``, ``root_malformed`` or
            ``key_malformed``: agents do not look whether a modulus is prime, so it is done here.
    """
    if keyset.expires_at - keyset.issued_at > MAX_KEYSET_LIFE_S:
        raise DocumentRejected("expires_too_far", "a keyset expires within 90 days")
    keysets.parse_unverified(keysets.sign(keyset, []))
    keyset.roots.public_keys()
    keyset.public_keys("token")
    keyset.public_keys("ledger")
    for code, members in (
        ("root_malformed", keyset.roots.keys),
        ("key_malformed", tuple(key.jwk for key in keyset.keys)),
    ):
        try:
            for member in members:
                jwk.from_jwk(member)
        except KeyRejected as rejected:
            raise DocumentRejected(code, str(rejected)) from None


def check_follows(before: Keyset, after: Keyset) -> None:
    """Raises DocumentRejected ``keyset_version`` or ``issuer``."""
    if after.version <= before.version:
        raise DocumentRejected("keyset_version", "the keyset is no newer than the one in force")
    if after.iss != before.iss:
        raise DocumentRejected("issuer", "the keyset is another issuer's")


def roots_of(before: Keyset | None, after: Keyset) -> dict[str, Any]:
    """The roots that may sign: the old ones and the new ones."""
    old = {} if before is None else before.roots.public_keys()
    return {**old, **after.roots.public_keys()}


def _pins(keyset: Keyset) -> PinnedRoots:
    return PinnedRoots(frozenset(keyset.roots.public_keys()), keyset.roots.threshold)


def _convert(members: object, kind: type[_Part], keyset: object = None) -> _Part:
    """Say of a policy that it is out of its caps, since a person has written it."""
    try:
        return convert(members, kind)
    except ValidationError:
        policy = keyset.get("policy") if isinstance(keyset, dict) else None
        if policy is not None:
            try:
                convert(policy, Policy)
            except ValidationError:
                raise DocumentRejected(
                    "policy_out_of_caps", "the policy is beyond what agents accept"
                ) from None
        raise DocumentRejected("document_malformed", f"not a {kind.__name__}") from None
