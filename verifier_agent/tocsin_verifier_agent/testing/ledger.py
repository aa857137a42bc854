"""A ledger in memory: real keys, signed records, heartbeats and clock replies, and no network."""

from __future__ import annotations

import secrets
from typing import Final, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tocsin_revocation_bus.core.replica import Outcome, Replica
from tocsin_revocation_bus.core.trust import PinnedRoots
from tocsin_schemas import clock_reply, heartbeat, jwk, keyset, record
from tocsin_schemas.clock_reply import ClockReply
from tocsin_schemas.events import Event, KeyRevoked, KeysetPublished
from tocsin_schemas.heartbeat import Heartbeat
from tocsin_schemas.keyset import MAX_KEYSET_LIFE_S, Keyset, KeysetKey, Policy, RootSet
from tocsin_verifier_agent.testing.clock import ManualClock

_DAY_S: Final = 24 * 3600
_RENEW_BEFORE_S: Final = 30 * _DAY_S
_YEARS_S: Final = 20 * 365 * _DAY_S


class LocalKey:
    """A new Ed25519 key; a :class:`tocsin_schemas.jws.Signer`."""

    alg = "Ed25519"

    def __init__(self) -> None:
        private = Ed25519PrivateKey.generate()
        self.sign = private.sign
        self.jwk = dict(jwk.from_public_key(private.public_key()).jwk)
        self.kid = jwk.thumbprint(self.jwk)


class LocalLedger:
    """Writes the chain as the one honest sequencer would, and brings it to every replica at once.

    ``connected`` says whether it does: a replica that hears nothing goes stale by itself.
    """

    def __init__(self, issuer: str, policy: Policy, clock: ManualClock) -> None:
        self.policy = policy
        self.connected = True
        self.signing, self.standby = LocalKey(), LocalKey()
        self._issuer = issuer
        self._clock = clock
        self._root, self._ledger_key = LocalKey(), LocalKey()
        self._retired: list[LocalKey] = []
        self._begin_s = int(clock.wall()) - _DAY_S
        self._clock_id = secrets.token_urlsafe(16)
        self._texts: list[str] = []
        self._replicas: list[Replica] = []
        self._versions = 0
        self._expires_at = 0
        self._publish_keyset()

    @property
    def pinned(self) -> PinnedRoots:
        """The roots that an agent's file would pin."""
        return PinnedRoots(frozenset([self._root.kid]))

    def follow(self, replica: Replica) -> None:
        """Keep a replica at the head from now on."""
        self._replicas.append(replica)
        self.deliver()

    def append(self, *carried: Event) -> None:
        """Commit one record."""
        text = record.build(
            iss=self._issuer,
            iat=int(self._clock.wall()),
            txn=secrets.token_urlsafe(8),
            term=1,
            n=len(self._texts) + 1,
            prev=record.hash_of(self._texts[-1]) if self._texts else record.GENESIS_PREV,
            carried=carried,
            signer=self._ledger_key,
        )
        self._texts.append(text)
        self.deliver()

    def rotate(self) -> None:
        """Move to the standby; what the old key has signed stays good."""
        self._retired.append(self.signing)
        self.signing, self.standby = self.standby, LocalKey()
        self._publish_keyset()

    def revoke_key(self, kid: str) -> None:
        """Revoke a token key for good; where it was the one that signs, the standby takes over."""
        self.append(KeyRevoked(id=new_id(), reason="test", initiator="admin", kid=kid))
        if kid == self.signing.kid:
            self.rotate()

    def deliver(self) -> None:
        """Bring all that is new to the replicas, and a proof of being up to date."""
        if self._clock.wall() >= self._expires_at - _RENEW_BEFORE_S:
            self._publish_keyset()
        elif self.connected:
            for replica in self._replicas:
                self._bring(replica)

    def _bring(self, replica: Replica) -> None:
        now, wall = self._clock.lease, self._clock.wall
        known = 0 if replica.head is None else replica.head.n
        for text in self._texts[known:]:
            if replica.apply_record(text, now(), wall()) is not Outcome.APPLIED:
                raise RuntimeError("the replica does not take this ledger's record")
        nonce = secrets.token_urlsafe(18)
        replica.sync_sent(nonce, now())
        if replica.apply_clock_reply(self._reply(nonce), now(), wall()) is not Outcome.APPLIED:
            raise RuntimeError("the replica does not take this ledger's clock reply")

    def _reply(self, nonce: str) -> str:
        now, utc = self._clock.lease(), round(self._clock.wall() * 1000)
        beat = Heartbeat(
            iss=self._issuer,
            term=1,
            head_n=len(self._texts),
            head_hash=record.hash_of(self._texts[-1]),
            settled_n=0,
            clock_id=self._clock_id,
            issuer_time=now,
            utc=utc,
        )
        reply = ClockReply(
            iss=self._issuer,
            nonce=nonce,
            clock_id=self._clock_id,
            issuer_time0=now,
            utc=utc,
            heartbeat=heartbeat.sign(beat, self._ledger_key),
        )
        return clock_reply.sign(reply, self._ledger_key)

    def _publish_keyset(self) -> None:
        now = int(self._clock.wall())
        self._versions += 1
        self._expires_at = now + MAX_KEYSET_LIFE_S
        token_keys = (*self._retired, self.signing, self.standby)
        document = keyset.sign(
            Keyset(
                iss=self._issuer,
                version=self._versions,
                issued_at=now,
                expires_at=self._expires_at,
                roots=RootSet(version=1, threshold=1, keys=(self._root.jwk,)),
                policy=self.policy,
                keys=(
                    self._entry(self._ledger_key, "ledger"),
                    *(self._entry(key, "token") for key in token_keys),
                ),
            ),
            [self._root],
        )
        self.append(KeysetPublished(id=new_id(), reason="test", initiator="admin", keyset=document))

    def _entry(self, key: LocalKey, use: Literal["token", "ledger"]) -> KeysetKey:
        begin, end = self._begin_s, self._begin_s + _YEARS_S
        return KeysetKey(
            kid=key.kid,
            use=use,
            alg="Ed25519",
            jwk=key.jwk,
            publish_at=begin,
            sign_from=begin,
            sign_until=end,
            verify_until=end,
        )


def new_id() -> str:
    """An event id."""
    return secrets.token_urlsafe(12)
