"""Who holds which key, and the keysets that the roots sign."""

from functools import lru_cache

from tests.simulator.crypto import SimSigner, signer, signing_fast
from tocsin_revocation_bus.core.trust import PinnedRoots
from tocsin_schemas import keyset as keysets
from tocsin_schemas.keyset import Keyset, KeysetKey, Policy, RootSet
from tocsin_schemas.signed_document import SignedDocument

ISSUER = "https://issuer.test"
AUDIENCE = "orders"
EPOCH_S = 1_800_000_000
LIFE_S = 30 * 24 * 3600

ROOT = signer("root")
LEDGER_KEYS = (signer("ledger-1"), signer("ledger-2"))
TOKEN_KEYS = tuple(signer(f"token-{number}") for number in range(1, 4))

OTHER_ISSUER = "https://other.test"
OTHER_LEDGER = signer("other-ledger")
ROGUE = signer("rogue")

PINNED = PinnedRoots(frozenset([ROOT.kid]))


def _entry(key: SimSigner, use: str) -> KeysetKey:
    return KeysetKey(
        kid=key.kid,
        use="token" if use == "token" else "ledger",
        alg="Ed25519",
        jwk=dict(key.public.jwk),
        publish_at=EPOCH_S - LIFE_S,
        sign_from=EPOCH_S - LIFE_S,
        sign_until=EPOCH_S + LIFE_S,
        verify_until=EPOCH_S + 2 * LIFE_S,
    )


def keyset(version: int, policy: Policy, token_keys: tuple[SimSigner, ...]) -> SignedDocument:
    """A keyset of that version, signed by the root. Every one holds both ledger keys."""
    return _keyset(version, policy, token_keys, signing_fast())


@lru_cache(4096)
def _keyset(
    version: int, policy: Policy, token_keys: tuple[SimSigner, ...], fast: bool
) -> SignedDocument:
    members = [_entry(key, "ledger") for key in LEDGER_KEYS]
    members += [_entry(key, "token") for key in token_keys]
    return keysets.sign(
        Keyset(
            iss=ISSUER,
            version=version,
            issued_at=EPOCH_S - 3600,
            expires_at=EPOCH_S + LIFE_S,
            roots=RootSet(version=1, threshold=1, keys=(dict(ROOT.public.jwk),)),
            policy=policy,
            keys=tuple(members),
        ),
        [ROOT],
    )
