"""The denylist: a deterministic fold of the ledger.

It only grows. A rule goes when G has passed its ``until``, where G is the greatest ``iat`` of the
chain's records less 10 minutes: a function of the chain alone, so that every replica forgets the
same rule at the same record, and no local clock can make one forget early.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256

from msgspec import Struct

from tocsin_revocation_bus.core.lanes import Lanes
from tocsin_revocation_bus.core.packed import DIGEST_LENGTH
from tocsin_revocation_bus.core.rules import HOUR_S, CutoffRules, DigestRules, Name
from tocsin_schemas import base64url, jti, jwk, strict_json
from tocsin_schemas.errors import KeyRejected
from tocsin_schemas.events import (
    AllRevokedBefore,
    ClientRevokedBefore,
    Event,
    ImportedKey,
    IssuerKeysImported,
    KeyRevoked,
    RevokedToken,
    SessionsRevoked,
    SubjectRevokedBefore,
    TokensRevoked,
)
from tocsin_schemas.jti import Place
from tocsin_schemas.jwk import PublicKey
from tocsin_schemas.record import Record

HORIZON_LAG_S = 600
_EVERYTHING = bytes(16)


class TokenFacts(Struct, frozen=True, gc=False):
    """What the rules look at.

    ``kid`` is the thumbprint of the key that signed the token. ``places`` are where our own token
    and its origin stand, ``jtis`` those ids that are no places. ``clients`` are the token's client
    and those in ``act``; ``iat`` is its own or its origin's, whichever is earlier. ``iss`` is None
    for our own issuer. Digests are worked out only where there are rules to compare them with.
    """

    kid: str
    places: tuple[Place, ...]
    jtis: tuple[str, ...]
    sid: str | None
    sub: str
    clients: tuple[str, ...]
    iat: int
    iss: str | None = None


def digest_in(iss: str | None, identifier: str) -> bytes:
    """16 bytes that stand for an identifier of one issuer's; ours is None."""
    scope = b"" if iss is None else _scope(iss)
    return sha256(scope + identifier.encode()).digest()[:DIGEST_LENGTH]


def name_in(iss: str | None, identifier: str) -> Name:
    """The same, to be compared as it is."""
    return identifier if iss is None else (iss, identifier)


@lru_cache(64)
def _scope(iss: str) -> bytes:
    """Keeps a foreign issuer's names apart from ours, and from another's."""
    return sha256(iss.encode()).digest()


_client_digest = lru_cache(1024)(digest_in)  # of few clients there are many tokens


class State:
    """The rules in force. ``generation`` moves after every change, never before it.

    ``imported`` are the foreign issuers' good keys, by issuer and by kid.
    """

    def __init__(self) -> None:
        self.generation = 0
        self.horizon = 0  # G, in seconds of UTC
        self.revoked_keys: set[str] = set()
        self.imported: Mapping[str, Mapping[str, PublicKey]] = {}
        self._imported_texts: dict[str, bytes] = {}
        self._latest_iat = 0
        self._lanes = Lanes()
        self._foreign = DigestRules()
        self._sessions = DigestRules()
        self._subjects = CutoffRules()
        self._clients = CutoffRules()
        self._everything = CutoffRules()

    def fold(self, record: Record) -> None:
        """Apply a record that the chain has accepted. It cannot fail half way."""
        tokens: list[RevokedToken] = []
        for event in record.events:
            if isinstance(event, TokensRevoked):
                tokens += event.tokens
            else:
                self._fold_event(event)
        self._revoke(tokens)
        self._advance(record.iat)
        self.generation += 1

    def _revoke(self, tokens: Sequence[RevokedToken]) -> None:
        """Of a record's many kinds of rules these are by far the most: all of them at once."""
        ours = [token for token in tokens if token.iss is None]
        for token, place in zip(ours, jti.parse_all([token.jti for token in ours]), strict=True):
            if place is None:
                self._foreign.add(digest_in(None, token.jti), token.until)
            else:
                self._lanes.add(place, token.until)
        if len(ours) < len(tokens):
            for token in tokens:
                if token.iss is not None:
                    self._foreign.add(digest_in(token.iss, token.jti), token.until)

    def _fold_event(self, event: Event) -> None:
        match event:
            case SessionsRevoked():
                for one in event.sessions:
                    self._sessions.add(
                        digest_in(one.iss, one.sid), one.until, name_in(one.iss, one.sid)
                    )
            case SubjectRevokedBefore():
                digest, name = digest_in(event.iss, event.sub), name_in(event.iss, event.sub)
                self._subjects.add(digest, event.before, event.until, name)
            case ClientRevokedBefore():
                digest = digest_in(event.iss, event.client_id)
                self._clients.add(digest, event.before, event.until)
            case AllRevokedBefore():
                self._everything.add(_EVERYTHING, event.before, event.until)
            case KeyRevoked():
                self.revoked_keys.add(event.kid)
            case IssuerKeysImported():
                self.imported = {**self.imported, event.iss: _good_keys(event.keys)}
                self._imported_texts[event.iss] = _canonical_keys(event.keys)
            case _:  # keysets are the trust's, settlement and ticks change no verdict
                pass

    def _advance(self, iat: int) -> None:
        before = self.horizon // HOUR_S
        self._latest_iat = max(self._latest_iat, iat)
        self.horizon = max(0, self._latest_iat - HORIZON_LAG_S)
        hour = self.horizon // HOUR_S
        for rules in self._kinds():
            if hour != before:
                rules.drop_before(hour)
            rules.tidy()  # what has ended is freed bit by bit

    def _kinds(self) -> tuple[Lanes | DigestRules | CutoffRules, ...]:
        revoked = (self._lanes, self._foreign, self._sessions)
        return (*revoked, self._subjects, self._clients, self._everything)

    def seal_some(self) -> None:
        """A bounded part of the work that the next :meth:`hash` would take, done ahead.

        A record that carries the state's hash would otherwise stop the verifying threads for as
        long as it takes to read all the rules that have come since the last one.
        """
        for rules in self._kinds():
            rules.seal_some()

    def why_rejected(self, facts: TokenFacts) -> str | None:
        """The first rule that hits, or None. Rules never mask each other: any one rejects."""
        if facts.kid in self.revoked_keys:
            return "key_revoked"
        for place in facts.places:
            if self._lanes.hits(place):
                return "token_revoked"
        iss, sid, sub = facts.iss, facts.sid, facts.sub
        for name in facts.jtis:
            if self._foreign.hits(digest_in(iss, name)):
                return "token_revoked"
        if (
            sid is not None
            and self._sessions.may_hit(sid if iss is None else (iss, sid))
            and self._sessions.hits(digest_in(iss, sid))
        ):
            return "session_revoked"
        if self._subjects.may_hit(sub if iss is None else (iss, sub)) and self._subjects.hits(
            digest_in(iss, sub), facts.iat
        ):
            return "subject_revoked"
        if self._clients.buckets:
            for client in facts.clients:
                if self._clients.hits(_client_digest(iss, client), facts.iat):
                    return "client_revoked"
        if self._everything.buckets and self._everything.hits(_EVERYTHING, facts.iat):
            return "all_revoked"
        return None

    def counts(self) -> dict[str, int]:
        """How many rules of each kind are in force."""
        return {
            "tokens": len(self._lanes) + len(self._foreign),
            "sessions": len(self._sessions),
            "subjects": len(self._subjects),
            "clients": len(self._clients),
            "everything": len(self._everything),
            "keys": len(self.revoked_keys),
        }

    def _imports(self) -> Iterator[bytes]:
        for iss in sorted(self._imported_texts):
            yield sha256(iss.encode()).digest() + self._imported_texts[iss]

    def hash(self) -> str:
        """SHA-256 over the sorted rules in canonical form, base64url."""
        digest = sha256(b"tocsin-state-1\0" + self._latest_iat.to_bytes(8))
        sections = (
            ("lanes", self._lanes.canonical()),
            ("foreign", self._foreign.canonical()),
            ("sessions", self._sessions.canonical()),
            ("subjects", self._subjects.canonical()),
            ("clients", self._clients.canonical()),
            ("everything", self._everything.canonical()),
            ("keys", (kid.encode("ascii") for kid in sorted(self.revoked_keys))),
            ("imported", self._imports()),
        )
        for name, rows in sections:
            digest.update(name.encode("ascii") + b"\0")
            for row in rows:
                digest.update(len(row).to_bytes(2) + row)
        return base64url.encode(digest.digest())


def _good_keys(keys: Iterable[ImportedKey]) -> Mapping[str, PublicKey]:
    """One key that is malformed or weak is passed over, not a reason to lose the others."""
    good: dict[str, PublicKey] = {}
    for key in keys:
        with suppress(KeyRejected):
            good[key.kid] = jwk.from_jwk({**key.jwk, "kid": key.kid}, vouched=True)
    return good


def _canonical_keys(keys: Iterable[ImportedKey]) -> bytes:
    """What was imported and not what came of it: versions may differ over which key is weak."""
    rows = sorted((key.kid, sorted(key.jwk.items())) for key in keys)
    return sha256(strict_json.dumps(rows)).digest()
