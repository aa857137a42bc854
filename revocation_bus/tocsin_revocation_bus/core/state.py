"""The denylist: a deterministic fold of the ledger.

It only grows. A rule goes when G has passed its ``until``, where G is the greatest ``iat`` of the
chain's records less 10 minutes: a function of the chain alone, so that every replica forgets the
same rule at the same record, and no local clock can make one forget early.
"""

from collections.abc import Iterable
from hashlib import sha256

from msgspec import Struct

from tocsin_revocation_bus.core.lanes import Lanes
from tocsin_revocation_bus.core.rules import HOUR_S, CutoffRules, DigestRules, digest_of
from tocsin_schemas import base64url, jti
from tocsin_schemas.events import (
    AllRevokedBefore,
    ClientRevokedBefore,
    Event,
    KeyRevoked,
    SessionsRevoked,
    SubjectRevokedBefore,
    TokensRevoked,
)
from tocsin_schemas.jti import LaneId
from tocsin_schemas.record import Record

HORIZON_LAG_S = 600
_EVERYTHING = bytes(16)


class TokenFacts(Struct, frozen=True):
    """What the rules look at, worked out once for each token.

    ``iat`` is the token's own or its origin's, whichever is earlier; ``clients`` are its client
    and those in ``act``.
    """

    kid: str
    places: tuple[LaneId, ...]
    foreign: tuple[bytes, ...]
    sid: bytes | None
    sub: bytes
    clients: tuple[bytes, ...]
    iat: int


def facts_of(
    *,
    kid: str,
    jtis: Iterable[str],
    sid: str | None,
    sub: str,
    clients: Iterable[str],
    iat: int,
) -> TokenFacts:
    """Work out what the rules look at. ``jtis`` are the token's own and its origin's."""
    places: list[LaneId] = []
    foreign: list[bytes] = []
    for name in jtis:
        place = jti.parse(name)
        if place is None:
            foreign.append(digest_of(name))
        else:
            places.append(place)
    return TokenFacts(
        kid=kid,
        places=tuple(places),
        foreign=tuple(foreign),
        sid=None if sid is None else digest_of(sid),
        sub=digest_of(sub),
        clients=tuple(map(digest_of, clients)),
        iat=iat,
    )


class State:
    """The rules in force. ``generation`` moves after every change, never before it."""

    def __init__(self) -> None:
        self.generation = 0
        self.horizon = 0  # G, in seconds of UTC
        self.revoked_keys: set[str] = set()
        self._latest_iat = 0
        self._lanes = Lanes()
        self._foreign = DigestRules()
        self._sessions = DigestRules()
        self._subjects = CutoffRules()
        self._clients = CutoffRules()
        self._everything = CutoffRules()

    def fold(self, record: Record) -> None:
        """Apply a record that the chain has accepted. It cannot fail half way."""
        for event in record.events:
            self._fold_event(event)
        self._advance(record.iat)
        self.generation += 1

    def _fold_event(self, event: Event) -> None:
        match event:
            case TokensRevoked():
                for token in event.tokens:
                    place = jti.parse(token.jti)
                    if place is None:
                        self._foreign.add(digest_of(token.jti), token.until)
                    else:
                        self._lanes.add(place, token.until)
            case SessionsRevoked():
                for session in event.sessions:
                    self._sessions.add(digest_of(session.sid), session.until)
            case SubjectRevokedBefore():
                self._subjects.add(digest_of(event.sub), event.before, event.until)
            case ClientRevokedBefore():
                self._clients.add(digest_of(event.client_id), event.before, event.until)
            case AllRevokedBefore():
                self._everything.add(_EVERYTHING, event.before, event.until)
            case KeyRevoked():
                self.revoked_keys.add(event.kid)
            case _:  # keysets are the trust's, settlement and ticks change no verdict
                pass

    def _advance(self, iat: int) -> None:
        before = self.horizon // HOUR_S
        self._latest_iat = max(self._latest_iat, iat)
        self.horizon = max(0, self._latest_iat - HORIZON_LAG_S)
        hour = self.horizon // HOUR_S
        if hour != before:
            for rules in (self._lanes, self._foreign, self._sessions):
                rules.drop_before(hour)
            for cutoffs in (self._subjects, self._clients, self._everything):
                cutoffs.drop_before(hour)

    def why_rejected(self, facts: TokenFacts) -> str | None:
        """The first rule that hits, or None. Rules never mask each other: any one rejects."""
        if facts.kid in self.revoked_keys:
            return "key_revoked"
        for place in facts.places:
            if place in self._lanes:
                return "token_revoked"
        for digest in facts.foreign:
            if digest in self._foreign:
                return "token_revoked"
        if facts.sid is not None and facts.sid in self._sessions:
            return "session_revoked"
        if self._subjects.hits(facts.sub, facts.iat):
            return "subject_revoked"
        for client in facts.clients:
            if self._clients.hits(client, facts.iat):
                return "client_revoked"
        if self._everything.hits(_EVERYTHING, facts.iat):
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
        )
        for name, rows in sections:
            digest.update(name.encode("ascii") + b"\0")
            for row in rows:
                digest.update(len(row).to_bytes(2) + row)
        return base64url.encode(digest.digest())
