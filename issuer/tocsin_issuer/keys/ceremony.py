"""The ceremonies: making roots, the ledger key and the token keys, and signing a keyset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec import structs

from tocsin_issuer.core import keyset_drafts
from tocsin_issuer.data_dir import DataDir
from tocsin_issuer.keys.key_store import KeyStore, key_encryption_key
from tocsin_issuer.keys.signer import PrivateKeySigner, generate
from tocsin_schemas import keyset as keysets
from tocsin_schemas.claims import EXP_LEEWAY_S
from tocsin_schemas.errors import ConfigurationError
from tocsin_schemas.issuer_profile import ForeignIssuer
from tocsin_schemas.jws import Signer
from tocsin_schemas.keyset import MAX_KEYSET_LIFE_S, Keyset, KeysetKey, Policy, RootSet
from tocsin_schemas.signed_document import SignedDocument

KEYSET_NAME = "keyset.json"
LEDGER_ALG = "RS256"  # a thousand agents verify each record, and RSA verifies fastest


@dataclass(frozen=True, slots=True)
class IssuerFolder:
    """What `tocsin issuer init` leaves: keys, roots (in development) and the newest keyset."""

    root: DataDir
    keys: KeyStore
    roots: KeyStore

    @classmethod
    def open(cls, path: Path, *, create: bool = False) -> IssuerFolder:
        """Open a folder, taking its lock.

        Raises:
            ConfigurationError: ``data_dir_in_use``, ``not_initialised`` or ``kek_missing``.
        """
        if not create and not (path / KEYSET_NAME).exists():
            raise ConfigurationError(
                "not_initialised", f"{path}: no keyset here; run `tocsin issuer init` first"
            )
        root = DataDir(path)
        root.acquire()
        try:
            kek = key_encryption_key(root, create=create)
            folders = [DataDir(path / "keys"), DataDir(path / "roots")]
            for folder in folders:
                folder.path.mkdir(mode=0o700, exist_ok=True)
            return cls(root, KeyStore(folders[0], kek), KeyStore(folders[1], kek))
        except BaseException:
            root.release()
            raise

    def close(self) -> None:
        """Let the folder go."""
        self.root.release()

    def newest_keyset(self) -> SignedDocument:
        """The keyset that was signed last.

        Raises:
            ConfigurationError: ``not_initialised`` or ``keyset_malformed``.
        """
        text = self.root.read_private(KEYSET_NAME)
        if text is None:
            raise ConfigurationError("not_initialised", f"{self.root.path}: no keyset here")
        try:
            return msgspec.json.decode(text, type=SignedDocument)
        except msgspec.DecodeError:
            raise ConfigurationError(
                "keyset_malformed", f"{self.root.path / KEYSET_NAME}: not a signed keyset"
            ) from None

    def keep_keyset(self, document: SignedDocument) -> None:
        """Remember the newest keyset."""
        self.root.write_private(KEYSET_NAME, msgspec.json.encode(document).decode())

    def root_signers(self) -> list[Signer]:
        """The roots at hand; none in production, where they are kept offline."""
        return [self.roots.load(kid) for kid in self.roots.kids()]

    def ledger_signer(self, keyset: Keyset) -> PrivateKeySigner:
        """The ledger key that this candidate holds.

        Raises:
            ConfigurationError: ``key_missing``.
        """
        held = set(self.keys.kids())
        for key in keyset.keys:
            if key.use == "ledger" and key.kid in held:
                return self.keys.load(key.kid)
        raise ConfigurationError("key_missing", f"{self.keys.path}: the ledger key is missing")


def issuer_of(path: Path) -> str:
    """The `iss` that a data directory was made for.

    Raises:
        ConfigurationError: ``not_initialised`` or ``keyset_malformed``.
    """
    folder = IssuerFolder.open(path)
    try:
        return keysets.parse_unverified(folder.newest_keyset()).iss
    finally:
        folder.close()


def entry(
    signer: PrivateKeySigner, use: str, now: int, sign_until: int, max_token_life_s: int
) -> KeysetKey:
    """A keyset's entry for a key that may sign from now on."""
    return msgspec.convert(
        {
            "kid": signer.kid,
            "use": use,
            "alg": signer.alg,
            "jwk": dict(signer.public.jwk),
            "publish_at": now,
            "sign_from": now,
            "sign_until": sign_until,
            "verify_until": sign_until + max_token_life_s + EXP_LEEWAY_S,
        },
        KeysetKey,
    )


def init(
    path: Path,
    *,
    issuer: str,
    policy: Policy,
    now: int,
    alg: str = "RS256",
    roots: int = 1,
    threshold: int = 1,
    foreign_issuers: tuple[ForeignIssuer, ...] = (),
    rotations: int = 1,
    rotate_every_s: int | None = None,
) -> Keyset:
    """Make a new issuer: roots, ledger key, an active and a standby token key, the first keyset.

    With ``rotate_every_s`` (seconds) it holds a schedule of so many ``rotations``.

    Raises:
        ConfigurationError: ``already_initialised``: nothing is ever overwritten.
        RequestRejected: ``rotation_period``.
    """
    if (path / KEYSET_NAME).exists():
        raise ConfigurationError("already_initialised", f"{path}: there is a keyset here already")
    if not 1 <= threshold <= roots:
        raise ConfigurationError("threshold", "the threshold is from 1 to the number of roots")
    folder = IssuerFolder.open(path, create=True)
    try:
        root_keys = [generate(LEDGER_ALG) for _ in range(roots)]
        ledger = generate(LEDGER_ALG)
        tokens = [generate(alg) for _ in range(rotations + 1)]
        for root_key in root_keys:
            folder.roots.save(root_key)
        for key in (ledger, *tokens):
            folder.keys.save(key)
        until = now + MAX_KEYSET_LIFE_S
        life = policy.max_token_life_s
        keyset = Keyset(
            iss=issuer,
            version=1,
            issued_at=now,
            expires_at=until,
            roots=RootSet(
                version=1,
                threshold=threshold,
                keys=tuple(dict(root_key.public.jwk) for root_key in root_keys),
            ),
            policy=policy,
            keys=(
                entry(ledger, "ledger", now, until, life),
                *(entry(token, "token", now, until, life) for token in tokens),
            ),
            foreign_issuers=foreign_issuers,
        )
        if rotate_every_s is not None:
            keyset = structs.replace(
                keyset_drafts.scheduled_keyset(
                    keyset,
                    active=None,
                    added=(),
                    revoked=(),
                    now=now,
                    every_s=rotate_every_s,
                    bound_s=-(-policy.bound_ms // 1000),
                ),
                version=1,
            )
        signers: list[Signer] = list(root_keys)
        folder.keep_keyset(keysets.sign(keyset, signers))
        return keyset
    finally:
        folder.close()
