"""The token keys at work: which one signs, rotating it, and revoking one at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from tocsin_issuer.core import key_life_cycle
from tocsin_issuer.core.key_life_cycle import KeyTimes
from tocsin_issuer.keys import ceremony
from tocsin_issuer.keys.ceremony import IssuerFolder
from tocsin_issuer.keys.signer import PrivateKeySigner, generate
from tocsin_issuer.store.key_choice import KeyChoice
from tocsin_issuer.store.outbox import Emission, Outbox
from tocsin_revocation_bus.core.replica import Replica
from tocsin_schemas import jwk
from tocsin_schemas import keyset as keysets
from tocsin_schemas.errors import RequestRejected
from tocsin_schemas.events import KeyRevoked, KeysetPublished
from tocsin_schemas.jws import Signer
from tocsin_schemas.keyset import MAX_KEYSET_LIFE_S, Keyset

RENEW_BEFORE_S = 30 * 24 * 3600
_log = logging.getLogger("tocsin.keys")


class KeyManager:
    """Signs with the key that the life cycle allows, from the ledger as this replica has it."""

    def __init__(
        self,
        *,
        folder: IssuerFolder,
        replica: Replica,
        choice: KeyChoice,
        outbox: Outbox,
        wall_clock: Callable[[], float],
        event_id: Callable[[], str],
        commit_wait_s: float,
    ) -> None:
        self._folder = folder
        self._replica = replica
        self._choice = choice
        self._outbox = outbox
        self._wall_clock = wall_clock
        self._event_id = event_id
        self._commit_wait_s = commit_wait_s
        self._signers: dict[str, PrivateKeySigner] = {}
        self._active: str | None = None
        self._acked_at: dict[str, float] = {}
        self._changing = asyncio.Lock()

    # --- signing --------------------------------------------------------------------------------

    def active(self) -> Signer:
        """The key that signs now.

        Raises:
            RequestRejected: ``no_signing_key`` (503).
        """
        kid = key_life_cycle.choose_active(
            self._keyset(),
            self._replica.state.revoked_keys,
            self._active,
            self._wall_clock(),
            self._times(),
        )
        self._active = kid
        return self._signer(kid)

    def _signer(self, kid: str) -> PrivateKeySigner:
        if kid not in self._signers:
            self._signers[kid] = self._folder.keys.load(kid)
        return self._signers[kid]

    def _keyset(self) -> Keyset:
        keyset = self._replica.trust.keyset
        if keyset is None:
            raise RequestRejected("no_signing_key", "the ledger has not been read yet", 503)
        return keyset

    def _times(self) -> KeyTimes:
        return KeyTimes(self._acked_at, self._keyset().policy.bound_ms / 1000)

    async def refresh(self) -> None:
        """Take over what other replicas chose, and note which keys have a PubAck now."""
        keyset = self._replica.trust.keyset
        if keyset is None:
            return
        now = self._wall_clock()
        known = await self._choice.acked_at()
        for key in keyset.keys:
            if key.kid not in known:
                await self._choice.note_acked(key.kid, key_life_cycle.known_since(keyset, now))
        self._acked_at = await self._choice.acked_at()
        chosen = await self._choice.active()
        if chosen is None:
            await self._choice.choose(self.active().kid)
        else:
            self._active = chosen

    # --- what others may see --------------------------------------------------------------------

    def jwks(self) -> dict[str, object]:
        """The public token keys that are not revoked (RFC 7517 section 5)."""
        revoked = self._replica.state.revoked_keys
        keys = self._replica.trust.keyset.keys if self._replica.trust.keyset else ()
        return {
            "keys": [
                {**key.jwk, "kid": key.kid, "alg": key.alg, "use": "sig"}
                for key in keys
                if key.use == "token" and key.kid not in revoked
            ]
        }

    def pems(self) -> str:
        """The same keys as PEM, one after the other."""
        revoked = self._replica.state.revoked_keys
        keys = self._replica.trust.keyset.keys if self._replica.trust.keyset else ()
        return "".join(
            jwk.to_pem(key.jwk) for key in keys if key.use == "token" and key.kid not in revoked
        )

    def describe(self) -> list[dict[str, object]]:
        """Phases and dates of the token keys."""
        keyset, revoked = self._keyset(), self._replica.state.revoked_keys
        now, times = self._wall_clock(), self._times()
        return [
            {
                "kid": key.kid,
                "alg": key.alg,
                "phase": key_life_cycle.phase_of(key, revoked, self._active, now, times).value,
                "usable_from": key_life_cycle.usable_from(key, times),
                "sign_until": key.sign_until,
                "verify_until": key.verify_until,
            }
            for key in key_life_cycle.token_keys(keyset)
        ]

    # --- changing -------------------------------------------------------------------------------

    async def rotate(self) -> str:
        """Move to the standby, and publish a keyset with a new one; return the new active kid.

        Raises:
            RequestRejected: ``standby_too_young``, ``no_standby`` (409), ``no_roots`` (409): the
                roots are offline, so the next keyset comes from a ceremony, or
                ``commit_pending`` (503).
        """
        async with self._changing:
            before = self.active().kid
            now = self._wall_clock()
            active = key_life_cycle.successor(
                self._keyset(), self._replica.state.revoked_keys, before, now, self._times()
            )
            roots = self._roots()
            await self._move_to(active)
            await self._publish_next(active, before, roots, "rotation")
            return active

    async def revoke(self, kid: str) -> Emission:
        """Revoke a key for good; where it was the active one, the standby signs from now on.

        The revocation needs the ledger key alone. A new standby follows where the roots are at
        hand.

        Raises:
            RequestRejected: ``unknown_key`` (404).
        """
        async with self._changing:
            keyset = self._keyset()
            if kid not in {key.kid for key in keyset.keys if key.use == "token"}:
                raise RequestRejected("unknown_key", "the keyset holds no such token key", 404)
            event = KeyRevoked(
                id=self._event_id(), reason="key-compromise", initiator="admin", kid=kid
            )
            emission = await self._outbox.emit(event)
            if kid == self._active:
                await self._leave(kid)
            roots = self._folder.root_signers()
            if await self._outbox.committed(emission.entry_id, self._commit_wait_s) and roots:
                await self._publish_next(self._active, None, roots, "key-compromise")
            return emission

    async def _leave(self, kid: str) -> None:
        """Move away from a compromised key, whether or not another may sign already."""
        self._active = None
        revoked = {*self._replica.state.revoked_keys, kid}
        ready = key_life_cycle.standbys(
            self._keyset(), revoked, None, self._wall_clock(), self._times()
        )
        if ready:
            await self._move_to(ready[0])
        else:
            _log.error("no standby may sign yet: no token is issued until one may")

    async def renew_if_due(self) -> None:
        """In development, where the roots are at hand, a keyset near its end renews itself."""
        keyset = self._replica.trust.keyset
        if keyset is None or keyset.expires_at - self._wall_clock() > RENEW_BEFORE_S:
            return
        roots = self._folder.root_signers()
        if not roots:
            _log.warning("the keyset expires at %d: sign the next one", keyset.expires_at)
            return
        async with self._changing:
            await self._publish_next(self.active().kid, None, roots, "renewal")

    def _roots(self) -> list[Signer]:
        roots = self._folder.root_signers()
        if not roots:
            raise RequestRejected("no_roots", "the roots are offline: hold a ceremony", 409)
        return roots

    async def _move_to(self, kid: str) -> None:
        self._signer(kid)  # a missing private key must show before anything changes
        await self._choice.choose(kid)
        self._active = kid

    async def _publish_next(
        self, active: str | None, retiring: str | None, roots: list[Signer], reason: str
    ) -> None:
        keyset = self._keyset()
        now = int(self._wall_clock())
        standby = await asyncio.to_thread(generate, self._alg())
        self._folder.keys.save(standby)
        until = now + MAX_KEYSET_LIFE_S
        following = key_life_cycle.next_keyset(
            keyset,
            active=active,
            retiring=retiring,
            added=ceremony.entry(standby, "token", now, until, keyset.policy.max_token_life_s),
            revoked=self._replica.state.revoked_keys,
            now=now,
            expires_at=until,
            bound_s=-(-keyset.policy.bound_ms // 1000),
        )
        document = keysets.sign(following, roots)
        self._folder.keep_keyset(document)
        emission = await self._outbox.emit(
            KeysetPublished(id=self._event_id(), reason=reason, initiator="admin", keyset=document)
        )
        if not await self._outbox.committed(emission.entry_id, self._commit_wait_s):
            raise RequestRejected("commit_pending", "the keyset waits for the ledger", 503)
        await self._note_acked([standby.kid])

    def _alg(self) -> str:
        return key_life_cycle.token_keys(self._keyset())[-1].alg

    async def _note_acked(self, kids: list[str]) -> None:
        now = self._wall_clock()
        for kid in kids:
            await self._choice.note_acked(kid, now)
        self._acked_at = await self._choice.acked_at()
