"""What an agent trusts: pinned roots, and the newest keyset that they signed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tocsin_schemas import keyset as keysets
from tocsin_schemas import signed_document, term
from tocsin_schemas.errors import DocumentRejected
from tocsin_schemas.jwk import PublicKey
from tocsin_schemas.keyset import Keyset, KeysetKey, Policy, RootSet
from tocsin_schemas.signed_document import SignedDocument
from tocsin_schemas.term import TermStatement


@dataclass(frozen=True, slots=True)
class PinnedRoots:
    """The thumbprints in an agent's file, and how many of them must sign.

    ``version`` is that of the root set. Where it is not the first one, the ledger begins with other
    roots: they are followed to the keyset that these have signed, and count for nothing until then.
    """

    thumbprints: frozenset[str]
    threshold: int = 1
    version: int = 1


@dataclass(frozen=True, slots=True)
class Trust:
    """An immutable state; :meth:`accept` returns the next one or raises.

    ``document`` is the keyset in force as the roots signed it. ``anchored`` says whether the pinned
    roots stand behind it: before that nothing may be accepted by it.
    """

    issuer: str
    pinned: PinnedRoots
    keyset: Keyset | None = None
    document: SignedDocument | None = None
    anchored: bool = False
    token_keys: Mapping[str, PublicKey] = field(default_factory=dict)
    ledger_keys: Mapping[str, PublicKey] = field(default_factory=dict)
    windows: Mapping[str, KeysetKey] = field(default_factory=dict)

    @property
    def policy(self) -> Policy | None:
        """The keyset's policy, once there is a keyset."""
        return None if self.keyset is None else self.keyset.policy

    def accept(self, document: SignedDocument) -> Trust:
        """Check a keyset against the roots trusted now, and move to it.

        Raises:
            DocumentRejected: ``issuer``, ``keyset_version``, ``root_mismatch`` (not signed by
                enough trusted roots), ``root_version``, ``root_malformed``, ``key_malformed`` or
                ``document_malformed``.
        """
        candidate = keysets.parse_unverified(document)
        if candidate.iss != self.issuer:
            raise DocumentRejected("issuer", "the keyset is another issuer's")
        if self.keyset is not None and candidate.version <= self.keyset.version:
            raise DocumentRejected("keyset_version", "a keyset's version never goes back")
        anchored = self._check_roots(document, candidate.roots)
        return replace(
            self,
            keyset=candidate,
            document=document,
            anchored=anchored,
            token_keys=candidate.public_keys("token"),
            ledger_keys=candidate.public_keys("ledger"),
            windows={key.kid: key for key in candidate.keys},
        )

    def _check_roots(self, document: SignedDocument, proposed: RootSet) -> bool:
        """The roots in force must sign; where the document changes them, the new ones too. Returns
        whether the pinned ones stand behind it.
        """
        proposed_keys = proposed.public_keys()
        if self.keyset is not None:
            current = self.keyset.roots
            _require(document, keysets.KEYSET_TYP, current.public_keys(), current.threshold)
            if proposed != current and proposed.version != current.version + 1:
                raise DocumentRejected("root_version", "the roots change one version at a time")
        anchored = self.anchored or proposed.version >= self.pinned.version
        if anchored and not self.anchored:
            pinned = {k: v for k, v in proposed_keys.items() if k in self.pinned.thumbprints}
            _require(document, keysets.KEYSET_TYP, pinned, self.pinned.threshold)
        _require(document, keysets.KEYSET_TYP, proposed_keys, proposed.threshold)
        return anchored

    def check_term(self, document: SignedDocument) -> TermStatement:
        """Check the statement behind `term-opened` against the roots trusted now.

        Raises:
            DocumentRejected: ``issuer``, ``root_mismatch`` or ``document_malformed``.
        """
        statement = term.parse_unverified(document)
        if statement.iss != self.issuer or self.keyset is None:
            raise DocumentRejected("issuer", "the statement is another issuer's")
        roots = self.keyset.roots
        _require(document, term.TERM_TYP, roots.public_keys(), roots.threshold)
        return statement


def _require(
    document: SignedDocument, typ: str, keys: Mapping[str, PublicKey], threshold: int
) -> None:
    signers = signed_document.signers_of(document, keys, typ)
    if len(signers) < max(1, threshold):
        raise DocumentRejected("root_mismatch", "too few of the trusted roots have signed")
