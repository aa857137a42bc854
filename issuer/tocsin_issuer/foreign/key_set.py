"""From the bytes of a foreign issuer's JWK Set to the keys that go into the ledger. No IO."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass

from tocsin_schemas import jwk, strict_json
from tocsin_schemas.errors import EncodingRejected, KeyRejected, TocsinError
from tocsin_schemas.events import ImportedKey
from tocsin_schemas.jwk import PublicKey
from tocsin_schemas.keyset import Keyset

MAX_KEYS = 64
MAX_RSA_BITS = 4096
"""Whether a modulus is prime is looked at here and nowhere after; it takes 0.2 s for this many."""
MAX_LISTED = 256
"""Members of a set, of whatever kind: each one that could be a key costs a look."""


class ImportRejected(TocsinError):
    """A foreign issuer's keys could not be had; those known stay. ``code`` says why."""


@dataclass(frozen=True, slots=True)
class KeySet:
    """Good keys in the order of their kids, and the codes of those left out."""

    keys: tuple[ImportedKey, ...]
    skipped: tuple[str, ...]


def read_key_set(body: bytes, ours: Container[str]) -> KeySet:
    """Read a JWK Set (RFC 7517 section 5); malformed, weak, private and symmetric keys are left
    out, and what has the name or the numbers of a key of ours (``ours`` holds thumbprints).

    Raises:
        ImportRejected: ``json``, ``jwks_malformed``, ``too_many_keys``, or ``no_usable_key``: an
            empty set is a fault at the provider's, not a reason to lose all of its users.
    """
    try:
        members = strict_json.loads_object(body)
    except EncodingRejected:
        raise ImportRejected("json") from None
    listed = members.get("keys")
    if not isinstance(listed, list):
        raise ImportRejected("jwks_malformed")
    if len(listed) > MAX_LISTED:
        raise ImportRejected("too_many_keys")
    small = [member for member in listed if not _is_large(member)]
    try:
        found = jwk.from_jwks({"keys": small})
    except KeyRejected as rejected:
        raise ImportRejected(rejected.code) from None
    skipped = [*found.skipped, *("key_large" for _ in range(len(listed) - len(small)))]
    good: dict[str, PublicKey] = {}
    for kid, key in found.keys.items():
        if kid in ours or jwk.thumbprint(key.jwk) in ours:
            skipped.append("key_is_ours")
        else:
            good[kid] = key
    if not good:
        raise ImportRejected("no_usable_key")
    if len(good) > MAX_KEYS:
        raise ImportRejected("too_many_keys")
    return KeySet(as_imported(good), tuple(skipped))


def _is_large(member: object) -> bool:
    modulus = member.get("n") if isinstance(member, Mapping) else None
    return isinstance(modulus, str) and len(modulus) > -(-MAX_RSA_BITS // 6)


def as_imported(keys: Mapping[str, PublicKey]) -> tuple[ImportedKey, ...]:
    """The keys as the ledger carries them: what RFC 7638 hashes, and the algorithm where the issuer
    named one or the key has but one. Nothing else that a provider writes gets in.
    """
    return tuple(
        ImportedKey(
            kid,
            {**key.jwk, "alg": next(iter(key.algs))} if len(key.algs) == 1 else dict(key.jwk),
        )
        for kid, key in sorted(keys.items())
    )


def our_thumbprints(keyset: Keyset) -> frozenset[str]:
    """Of our token, ledger and root keys; a kid of ours is its key's thumbprint."""
    return frozenset(key.kid for key in keyset.keys) | keyset.roots.public_keys().keys()
