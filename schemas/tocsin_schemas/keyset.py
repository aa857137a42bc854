"""The keyset: what the roots sign. Token and ledger keys with their windows, and the policy.

Granting trust needs the roots; whoever holds the ledger key alone can only deny, but for the keys
of foreign issuers that the roots have named.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct, ValidationError, convert, to_builtins

from tocsin_schemas import jwk, signed_document, strict_json
from tocsin_schemas.errors import DocumentRejected, EncodingRejected, KeyRejected
from tocsin_schemas.issuer_profile import ForeignIssuer
from tocsin_schemas.jwk import PublicKey
from tocsin_schemas.jws import Signer
from tocsin_schemas.signed_document import SignedDocument

KEYSET_TYP = "tocsin-keyset+jwt"
MAX_KEYSET_LIFE_S = 90 * 24 * 3600

Seconds = Annotated[int, Meta(ge=0, le=2**40)]
Thumbprint = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{43}\Z")]
Version = Annotated[int, Meta(ge=1, le=2**53)]
PublicJwk = dict[str, Annotated[str, Meta(max_length=2048)]]


class KeysetKey(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One key and its windows, in seconds of UTC.

    It appears at ``publish_at``, may sign from ``sign_from`` until ``sign_until``, and what it
    signed is good until ``verify_until``. The windows permit; which permitted key signs is the
    issuer's choice, so a standby can take over at once.
    """

    kid: Thumbprint
    use: Literal["token", "ledger"]
    alg: Literal["RS256", "ES256", "Ed25519"]
    jwk: PublicJwk
    publish_at: Seconds
    sign_from: Seconds
    sign_until: Seconds
    verify_until: Seconds


class Policy(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the bound is made of; an agent may only lower the lease."""

    lease_ms: Annotated[int, Meta(ge=500, le=3_600_000)] = 120_000
    heartbeat_ms: Annotated[int, Meta(ge=50, le=60_000)] = 1_000
    max_token_life_s: Annotated[int, Meta(ge=1, le=30 * 24 * 3600)] = 3600
    rho_ppm: Annotated[int, Meta(ge=1, le=100_000)] = 500

    @property
    def bound_ms(self) -> int:
        """B = L / (1 − rho), rounded up, in milliseconds."""
        return -(-self.lease_ms * 1_000_000 // (1_000_000 - self.rho_ppm))


class RootSet(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The root keys, and how many of them must sign."""

    version: Version
    threshold: Annotated[int, Meta(ge=1, le=16)]
    keys: Annotated[tuple[PublicJwk, ...], Meta(min_length=1, max_length=16)]

    def public_keys(self) -> dict[str, PublicKey]:
        """The keys by thumbprint.

        Raises:
            DocumentRejected: ``root_malformed`` for a bad key, a key that stands twice, or a
                threshold that cannot be met.
        """
        try:
            keys = {key.kid: key for key in (_root_key(member) for member in self.keys)}
        except KeyRejected:
            raise DocumentRejected("root_malformed") from None
        if not self.threshold <= len(keys) == len(self.keys):
            raise DocumentRejected("root_malformed")
        return keys


def _root_key(member: Mapping[str, str]) -> PublicKey:
    key = jwk.from_jwk(member, vouched=True)
    return jwk.PublicKey(jwk.thumbprint(key.jwk), key.algs, key.verify, key.jwk)


class Keyset(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """The keys of one issuer at one version, and the foreign issuers that it vouches for."""

    iss: Annotated[str, Meta(min_length=1, max_length=1024)]
    version: Version
    issued_at: Seconds
    expires_at: Seconds
    roots: RootSet
    policy: Policy
    keys: Annotated[tuple[KeysetKey, ...], Meta(min_length=1, max_length=256)]
    foreign_issuers: Annotated[tuple[ForeignIssuer, ...], Meta(max_length=32)] = ()

    def public_keys(self, use: Literal["token", "ledger"]) -> dict[str, PublicKey]:
        """The keys of one use, by kid.

        Raises:
            DocumentRejected: ``key_malformed``.
        """
        return {key.kid: _checked(key) for key in self.keys if key.use == use}


def _checked(entry: KeysetKey) -> PublicKey:
    """A keyset is signed by people: a kid that is not the key's thumbprint is a mistake of theirs,
    and two names for one key would let a revocation miss it.
    """
    try:
        key = jwk.from_jwk(entry.jwk, vouched=True)
    except KeyRejected:
        raise DocumentRejected("key_malformed") from None
    if jwk.thumbprint(key.jwk) != entry.kid or entry.alg not in key.algs:
        raise DocumentRejected("key_malformed")
    if entry.use == "ledger" and entry.alg == "ES256":
        # Anybody can rewrite an ECDSA signature into a second good one. A record's identity is the
        # hash of its text, so the rewritten one would pass for a fork and halt every agent.
        raise DocumentRejected("key_malformed")
    return PublicKey(entry.kid, key.algs, key.verify, key.jwk)


def sign(keyset: Keyset, roots: list[Signer]) -> SignedDocument:
    """Sign with every root given (the old and the new ones during a change of roots)."""
    return signed_document.sign(to_builtins(keyset), roots, KEYSET_TYP)


def parse_unverified(document: SignedDocument) -> Keyset:
    """Read a keyset whose signatures have not been looked at; the trust core does that.

    Raises:
        DocumentRejected: ``document_malformed`` for bad JSON, fields or windows.
    """
    try:
        members = strict_json.loads_object(signed_document.payload_of(document))
        keyset = convert(members, Keyset)
    except (EncodingRejected, ValidationError):
        raise DocumentRejected("document_malformed") from None
    if len({key.kid for key in keyset.keys}) != len(keyset.keys):
        raise DocumentRejected("document_malformed")
    foreign = {issuer.iss for issuer in keyset.foreign_issuers}
    if len(foreign) != len(keyset.foreign_issuers) or keyset.iss in foreign:
        raise DocumentRejected("document_malformed")
    if not all(_windows_in_order(key) for key in keyset.keys):
        raise DocumentRejected("document_malformed")
    if not keyset.issued_at < keyset.expires_at <= keyset.issued_at + MAX_KEYSET_LIFE_S:
        raise DocumentRejected("document_malformed")
    return keyset


def _windows_in_order(key: KeysetKey) -> bool:
    return key.publish_at <= key.sign_from <= key.sign_until <= key.verify_until
