"""A ledger in memory: one issuer's roots, keysets, records, heartbeats and clock replies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tests.support.clock import LEASE_NOW, NOW
from tests.support.keys import signer
from tests.support.tokens import ISSUER
from tocsin_issuer.keys.signer import PrivateKeySigner
from tocsin_revocation_bus.core.replica import Outcome, Replica
from tocsin_revocation_bus.core.trust import PinnedRoots
from tocsin_schemas import clock_reply, heartbeat, keyset, record
from tocsin_schemas.clock_reply import ClockReply
from tocsin_schemas.events import (
    AllRevokedBefore,
    ClientRevokedBefore,
    Event,
    KeyRevoked,
    KeysetPublished,
    RevokedSession,
    RevokedToken,
    SessionsRevoked,
    SubjectRevokedBefore,
    Tick,
    TokensRevoked,
)
from tocsin_schemas.heartbeat import Heartbeat
from tocsin_schemas.keyset import Keyset, KeysetKey, Policy, RootSet
from tocsin_schemas.signed_document import SignedDocument

HOUR = 3600
DAY = 24 * HOUR
CLOCK = "clock-aaaaaaaaaaaa"
OFFSET = 777_000_000_000  # the issuer's clock is this far ahead of the agent's, in nanoseconds
NONCE = "nonce-aaaaaaaaaaaaaaaaaa"

ROOT = signer("Ed25519", "root")
LEDGER_KEY = signer("Ed25519", "ledger")
TOKEN_KEY = signer("Ed25519", "token")
STANDBY_KEY = signer("Ed25519", "standby")


def key_entry(key: PrivateKeySigner, use: str, **changes: Any) -> KeysetKey:
    """A key that is good from yesterday until in 30 days."""
    members: dict[str, Any] = {
        "kid": key.kid,
        "use": use,
        "alg": key.alg,
        "jwk": dict(key.public.jwk),
        "publish_at": NOW - DAY,
        "sign_from": NOW - DAY,
        "sign_until": NOW + 30 * DAY,
        "verify_until": NOW + 31 * DAY,
        **changes,
    }
    return KeysetKey(**members)


def root_set(
    roots: Sequence[PrivateKeySigner] = (ROOT,), threshold: int = 1, version: int = 1
) -> RootSet:
    keys = tuple(dict(root.public.jwk) for root in roots)
    return RootSet(version=version, threshold=threshold, keys=keys)


def make_keyset(version: int = 1, **changes: Any) -> Keyset:
    """One ledger key, one token key and a standby, under one root."""
    members: dict[str, Any] = {
        "iss": ISSUER,
        "version": version,
        "issued_at": NOW - DAY,
        "expires_at": NOW + 60 * DAY,
        "roots": root_set(),
        "policy": Policy(),
        "keys": (
            key_entry(LEDGER_KEY, "ledger"),
            key_entry(TOKEN_KEY, "token"),
            key_entry(STANDBY_KEY, "token"),
        ),
        **changes,
    }
    return Keyset(**members)


def signed_keyset(
    version: int = 1, by: Iterable[PrivateKeySigner] = (ROOT,), **changes: Any
) -> SignedDocument:
    return keyset.sign(make_keyset(version, **changes), list(by))


def pinned(roots: Iterable[PrivateKeySigner] = (ROOT,), threshold: int = 1) -> PinnedRoots:
    return PinnedRoots(frozenset(root.kid for root in roots), threshold)


# --- commands ---------------------------------------------------------------------------------

_WHO: dict[str, Any] = {"id": "event-1", "reason": "test", "initiator": "admin"}
FAR = NOW + DAY


def publish(document: SignedDocument) -> KeysetPublished:
    return KeysetPublished(**_WHO, keyset=document)


def revoke_token(*jtis: str, until: int = FAR) -> TokensRevoked:
    return TokensRevoked(**_WHO, tokens=tuple(RevokedToken(one, until) for one in jtis))


def revoke_session(*sids: str, until: int = FAR) -> SessionsRevoked:
    return SessionsRevoked(**_WHO, sessions=tuple(RevokedSession(one, until) for one in sids))


def revoke_subject(sub: str, before: int, until: int = FAR) -> SubjectRevokedBefore:
    return SubjectRevokedBefore(**_WHO, sub=sub, before=before, until=until)


def revoke_client(client_id: str, before: int, until: int = FAR) -> ClientRevokedBefore:
    return ClientRevokedBefore(**_WHO, client_id=client_id, before=before, until=until)


def revoke_all(before: int, until: int = FAR) -> AllRevokedBefore:
    return AllRevokedBefore(**_WHO, before=before, until=until)


def revoke_key(kid: str) -> KeyRevoked:
    return KeyRevoked(**_WHO, kid=kid)


def tick(state_hash: str) -> Tick:
    return Tick(**_WHO, state_hash=state_hash)


# --- the chain --------------------------------------------------------------------------------


class Ledger:
    """The chain as its one honest sequencer writes it, starting with a keyset."""

    def __init__(self, document: SignedDocument | None = None) -> None:
        self.texts: list[str] = []
        self.append(publish(signed_keyset() if document is None else document))

    def draft(self, *carried: Event, **changes: Any) -> str:
        """The next record, not appended; ``changes`` override its members."""
        members: dict[str, Any] = {
            "iss": ISSUER,
            "iat": NOW,
            "txn": "txn",
            "term": 1,
            "n": len(self.texts) + 1,
            "prev": record.hash_of(self.texts[-1]) if self.texts else record.GENESIS_PREV,
            "signer": LEDGER_KEY,
            **changes,
        }
        return record.build(carried=carried, **members)

    def append(self, *carried: Event, **changes: Any) -> str:
        """The next record, appended."""
        self.texts.append(self.draft(*carried, **changes))
        return self.texts[-1]

    def beat(self, now: int = LEASE_NOW, **changes: Any) -> str:
        """A heartbeat that the issuer made when the agent's clock showed ``now``."""
        key = changes.pop("signer", LEDGER_KEY)
        members: dict[str, Any] = {
            "iss": ISSUER,
            "term": 1,
            "head_n": len(self.texts),
            "head_hash": record.hash_of(self.texts[-1]),
            "settled_n": 0,
            "clock_id": CLOCK,
            "issuer_time": now + OFFSET,
            "utc": NOW * 1000,
            **changes,
        }
        return heartbeat.sign(Heartbeat(**members), key)

    def reply(self, now: int = LEASE_NOW, **changes: Any) -> str:
        """A clock reply made when the agent's clock showed ``now``, without a heartbeat."""
        key = changes.pop("signer", LEDGER_KEY)
        members: dict[str, Any] = {
            "iss": ISSUER,
            "nonce": NONCE,
            "clock_id": CLOCK,
            "issuer_time0": now + OFFSET,
            "utc": NOW * 1000,
            "heartbeat": None,
            **changes,
        }
        return clock_reply.sign(ClockReply(**members), key)

    def feed(self, replica: Replica, wall: float = NOW, now: int = LEASE_NOW) -> Replica:
        """Apply every record that the replica does not have yet; each must be accepted."""
        have = 0 if replica.head is None else replica.head.n
        for text in self.texts[have:]:
            assert replica.apply_record(text, now, wall) is Outcome.APPLIED, replica.noise
        return replica

    def replica(self, **options: Any) -> Replica:
        """A replica that has applied everything, without a lease."""
        return self.feed(Replica(ISSUER, pinned(), **options))

    def live_replica(self, **options: Any) -> Replica:
        """A replica that has applied everything and holds a lease proven just now."""
        replica = self.replica(**options)
        self.make_live(replica)
        return replica

    def make_live(self, replica: Replica, now: int = LEASE_NOW, wall: float = NOW) -> None:
        replica.sync_sent(NONCE, now)
        reply = self.reply(now, heartbeat=self.beat(now))
        assert replica.apply_clock_reply(reply, now, wall) is Outcome.APPLIED
        assert replica.lease.proven_at is not None


def fingerprint(replica: Replica) -> tuple[object, ...]:
    """All that a rejected input must leave as it was."""
    return (
        replica.head,
        replica.state.hash(),
        replica.state.generation,
        replica.trust,
        replica.lease.proven_at,
        replica.settled_n,
    )
