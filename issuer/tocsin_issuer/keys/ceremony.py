"""The ceremonies: making roots, the ledger key and the token keys, and signing a keyset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from tocsin_issuer.core import keyset_drafts
from tocsin_issuer.data_dir import DataDir
from tocsin_issuer.keys import draft, kek
from tocsin_issuer.keys.draft import KeysetDraft
from tocsin_issuer.keys.key_store import KeyStore
from tocsin_issuer.keys.root_signatures import to_text
from tocsin_issuer.keys.signer import PrivateKeySigner, generate
from tocsin_schemas import keyset as keysets
from tocsin_schemas.claims import EXP_LEEWAY_S
from tocsin_schemas.errors import ConfigurationError
from tocsin_schemas.issuer_profile import ForeignIssuer
from tocsin_schemas.jws import Signer
from tocsin_schemas.keyset import MAX_KEYSET_LIFE_S, Keyset, KeysetKey, Policy, RootSet
from tocsin_schemas.signed_document import SignedDocument

KEYSET_NAME = "keyset.json"
FIRST_NAME = "first-keyset.json"
TERM_NAME = "term.json"
_MAX_TERM_BYTES = 64 * 1024
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
            ConfigurationError: as :func:`take` and :func:`kek.current`.
        """
        root = take(path, create=create)
        try:
            both = kek.current(root, create=create), kek.following(root)
            return cls(root, *(KeyStore(folder, *both) for folder in key_folders(root)))
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
        return self._read(KEYSET_NAME)

    def first_keyset(self) -> SignedDocument:
        """The keyset that the ledger begins with: whoever replays it pins the roots of that one.

        Raises:
            ConfigurationError: ``not_initialised`` or ``keyset_malformed``.
        """
        known = self.root.read_private(FIRST_NAME) is not None
        return self._read(FIRST_NAME if known else KEYSET_NAME)

    def _read(self, name: str) -> SignedDocument:
        text = self.root.read_private(name)
        if text is None:
            raise ConfigurationError("not_initialised", f"{self.root.path}: no keyset here")
        try:
            return msgspec.json.decode(text, type=SignedDocument)
        except msgspec.DecodeError:
            raise ConfigurationError(
                "keyset_malformed", f"{self.root.path / name}: not a signed keyset"
            ) from None

    def keep_keyset(self, document: SignedDocument) -> None:
        """Remember the newest keyset, and the first one."""
        text = msgspec.json.encode(document).decode()
        if self.root.read_private(FIRST_NAME) is None:
            self.root.write_private(FIRST_NAME, self.root.read_private(KEYSET_NAME) or text)
        self.root.write_private(KEYSET_NAME, text)

    def opened_term(self) -> bytes | None:
        """The root-signed statement that an operator has left here, as it stands in the file."""
        try:
            with (self.root.path / TERM_NAME).open("rb") as file:
                return file.read(_MAX_TERM_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigurationError("file_unreadable", f"{TERM_NAME}: {error.strerror}") from None

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


def take(path: Path, *, create: bool = False) -> DataDir:
    """An issuer's folder, with its lock.

    Raises:
        ConfigurationError: ``data_dir_in_use`` or ``not_initialised``.
    """
    if not create and not (path / KEYSET_NAME).exists():
        raise ConfigurationError(
            "not_initialised", f"{path}: no keyset here; run `tocsin issuer init` first"
        )
    root = DataDir(path)
    root.acquire()
    return root


def key_folders(root: DataDir) -> tuple[DataDir, DataDir]:
    """Where the keys lie, and the roots (in development)."""
    folders = DataDir(root.path / "keys"), DataDir(root.path / "roots")
    for folder in folders:
        folder.path.mkdir(mode=0o700, exist_ok=True)
    return folders


def keep_opened_term(path: Path, document: SignedDocument) -> None:
    """Leave a statement with an issuer, running or not: it opens the term as soon as it can.

    Raises:
        ConfigurationError: ``not_initialised`` or ``file_unwritable``.
    """
    if not (path / KEYSET_NAME).exists():
        raise ConfigurationError("not_initialised", f"{path}: not an issuer's data directory")
    try:
        DataDir(path).write_private(TERM_NAME, to_text(document))
    except OSError as error:
        raise ConfigurationError("file_unwritable", f"{path}: {error.strerror}") from None


def roots_at_hand(path: Path) -> list[Signer]:
    """The roots in an issuer's folder, running or not; none in production.

    Raises:
        ConfigurationError: ``kek_missing``, ``kek_weak``, or ``key_unreadable``.
    """
    folder = DataDir(path)
    roots = KeyStore(DataDir(path / "roots"), kek.current(folder), kek.following(folder))
    return [roots.load(kid) for kid in roots.kids()]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstKeyset:
    """What an issuer begins with: an active token key and one for each of the ``rotations``, which
    follow every ``rotate_every_s`` seconds, or when an operator says so (None).
    """

    issuer: str
    policy: Policy
    now: int
    alg: str = "RS256"
    foreign_issuers: tuple[ForeignIssuer, ...] = ()
    rotations: int = 1
    rotate_every_s: int | None = None

    def make(self, folder: IssuerFolder, roots: RootSet) -> Keyset:
        """Make the keys and the keyset that lists them.

        Raises:
            RequestRejected: ``rotation_period`` or ``no_standby``.
        """
        ledger = generate(LEDGER_ALG)
        tokens = [generate(self.alg) for _ in range(self.rotations + 1)]
        for key in (ledger, *tokens):
            folder.keys.save(key)
        until = self.now + MAX_KEYSET_LIFE_S
        life = self.policy.max_token_life_s
        keyset = Keyset(
            iss=self.issuer,
            version=1,
            issued_at=self.now,
            expires_at=until,
            roots=roots,
            policy=self.policy,
            keys=(
                entry(ledger, "ledger", self.now, until, life),
                *(entry(token, "token", self.now, until, life) for token in tokens),
            ),
            foreign_issuers=self.foreign_issuers,
        )
        if self.rotate_every_s is None:
            return keyset
        scheduled = keyset_drafts.scheduled_keyset(
            keyset,
            active=None,
            added=(),
            revoked=(),
            now=self.now,
            every_s=self.rotate_every_s,
            bound_s=-(-self.policy.bound_ms // 1000),
        )
        return structs.replace(scheduled, version=1)


def init(path: Path, *, roots: int = 1, threshold: int = 1, **first: Any) -> Keyset:
    """Make a new issuer with roots of its own, which lie in its folder. ``first`` are the fields of
    :class:`FirstKeyset`.

    Raises:
        ConfigurationError: ``already_initialised``: nothing is ever overwritten.
        RequestRejected: as :meth:`FirstKeyset.make`.
    """
    if not 1 <= threshold <= roots:
        raise ConfigurationError("threshold", "the threshold is from 1 to the number of roots")
    folder = _new_folder(path)
    try:
        root_keys = [generate(LEDGER_ALG) for _ in range(roots)]
        for root_key in root_keys:
            folder.roots.save(root_key)
        jwks = tuple(dict(root_key.public.jwk) for root_key in root_keys)
        root_set = RootSet(version=1, threshold=threshold, keys=jwks)
        keyset = FirstKeyset(**first).make(folder, root_set)
        signers: list[Signer] = list(root_keys)
        folder.keep_keyset(keysets.sign(keyset, signers))
        return keyset
    finally:
        folder.close()


def begin(path: Path, roots: RootSet, first: FirstKeyset) -> KeysetDraft:
    """Make a new issuer whose roots are kept elsewhere: its keys, and the draft of its keyset.

    Raises:
        ConfigurationError: ``already_initialised``.
        RequestRejected: as :meth:`FirstKeyset.make`.
        DocumentRejected: as :func:`draft.check_content`.
    """
    folder = _new_folder(path)
    try:
        keyset = first.make(folder, roots)
        draft.check_content(keyset)
        return KeysetDraft(keyset)
    finally:
        folder.close()


def install(path: Path, document: SignedDocument) -> Keyset:
    """Give a new issuer its first keyset, signed.

    Raises:
        ConfigurationError: ``already_initialised``, or ``key_missing`` where this is not the folder
            that the keys were made in.
        DocumentRejected: as :func:`draft.check_signed`.
    """
    keyset = draft.check_signed(None, document)
    folder = _new_folder(path)
    try:
        for key in keyset.keys:
            folder.keys.load(key.kid)
        folder.keep_keyset(document)
        return keyset
    finally:
        folder.close()


def _new_folder(path: Path) -> IssuerFolder:
    if (path / KEYSET_NAME).exists():
        raise ConfigurationError("already_initialised", f"{path}: there is a keyset here already")
    return IssuerFolder.open(path, create=True)
