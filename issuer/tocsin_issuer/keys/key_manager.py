"""What an operator may do with the keys: rotate before the time, revoke one, publish a keyset."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from tocsin_issuer.core import key_life_cycle, key_notices, keyset_drafts
from tocsin_issuer.keys import ceremony
from tocsin_issuer.keys.ceremony import IssuerFolder
from tocsin_issuer.keys.key_turns import KeyTurns
from tocsin_issuer.keys.publication import Publication
from tocsin_issuer.keys.signer import generate
from tocsin_issuer.store.outbox import Emission, Outbox
from tocsin_schemas import keyset as keysets
from tocsin_schemas.errors import RequestRejected
from tocsin_schemas.events import KeyRevoked
from tocsin_schemas.jws import Signer
from tocsin_schemas.keyset import MAX_KEYSET_LIFE_S, Keyset

_log = logging.getLogger("tocsin.keys")


class KeyManager:
    """``wall_clock`` is in seconds of UTC. One change at a time."""

    def __init__(
        self,
        *,
        folder: IssuerFolder,
        turns: KeyTurns,
        outbox: Outbox,
        publication: Publication,
        wall_clock: Callable[[], float],
        event_id: Callable[[], str],
        commit_wait_s: float,
    ) -> None:
        self._folder = folder
        self._turns = turns
        self._outbox = outbox
        self._publication = publication
        self._wall_clock = wall_clock
        self._event_id = event_id
        self._commit_wait_s = commit_wait_s
        self._changing = asyncio.Lock()

    def active(self) -> Signer:
        """The key that signs now.

        Raises:
            RequestRejected: ``no_signing_key`` (503).
        """
        return self._turns.active()

    def jwks(self) -> dict[str, object]:
        """The public token keys that are not revoked (RFC 7517 section 5)."""
        return self._turns.jwks()

    def pems(self) -> str:
        """The same keys as PEM, one after the other."""
        return self._turns.pems()

    def describe(self) -> dict[str, Any]:
        """Phases and dates of all keys, in the order of their turns, and what is to be noticed."""
        return self._turns.describe()

    async def refresh(self) -> None:
        """Take over what is in the ledger, what other replicas chose, and what was begun."""
        await self._publication.resume()
        await self._turns.refresh()

    async def look_after(self) -> None:
        """Go on with the schedule, announce what comes to its end, renew it where that can be done
        here. To be called every second.
        """
        await self.refresh()
        await self._replenish()
        self._turns.announce()

    async def rotate(self) -> str:
        """Move to the next key before its time; return its kid.

        Where it is the last one listed, a keyset with a new standby is published, which needs the
        roots at hand.

        Raises:
            RequestRejected: ``standby_too_young``, ``no_standby`` (409), ``no_roots`` (409): the
                roots are offline, so the next keyset comes from a ceremony, ``rotated_already``
                (409): another replica was faster, or ``commit_pending`` (503).
        """
        async with self._changing:
            await self._turns.refresh()
            before, following = (
                self._turns.chosen,
                key_life_cycle.successor(*self._turns.situation()),
            )
            last = not self._turns.stands_by_after(following)
            roots = self._roots() if last else []
            if await self._turns.move_to(following, "operator") != following:
                raise RequestRejected("rotated_already", "another replica has just rotated", 409)
            if last:
                await self._publish_next(following, before, roots, "rotation")
            return following

    async def revoke(self, kid: str) -> Emission:
        """Revoke a token or ledger key for good; where it signs tokens, the standby does from now
        on.

        The revocation needs the ledger key alone. A new standby follows where the roots are at
        hand. A ledger key that is no longer listed can be revoked too: no later keyset brings it
        back then.

        Raises:
            RequestRejected: ``unknown_key`` (404), ``last_ledger_key`` (409): only a keyset with
                another one can end it.
        """
        async with self._changing:
            keyset = self._turns.keyset()
            uses = {key.kid: key.use for key in keyset.keys}
            if kid not in uses and kid not in self._folder.keys.kids():
                raise RequestRejected("unknown_key", "there is no such key here", 404)
            if uses.get(kid) == "ledger":
                self._require_another_ledger_key(keyset, kid)
            event = KeyRevoked(
                id=self._event_id(), reason="key-compromise", initiator="admin", kid=kid
            )
            emission = await self._outbox.revoke_key(event)
            if kid == self._turns.chosen:
                await self._leave(kid)
            roots = self._folder.root_signers()
            committed = await self._outbox.committed(emission.entry_id, self._commit_wait_s)
            if committed and roots and self._due():
                await self._publish_next(self._turns.chosen, None, roots, "key-compromise")
            return emission

    def _require_another_ledger_key(self, keyset: Keyset, kid: str) -> None:
        now = self._wall_clock()
        for key in keyset.keys:
            if (
                key.use == "ledger"
                and key.kid not in {kid, *self._turns.revoked}
                and key.sign_from <= now <= key.sign_until
                and key.kid in self._folder.keys.kids()
            ):
                return
        raise RequestRejected(
            "last_ledger_key", "publish a keyset with another ledger key first", 409
        )

    async def _leave(self, kid: str) -> None:
        """Move away from a compromised key, whether or not another may sign already."""
        situation = self._turns.situation()
        ready = key_life_cycle.standbys(*situation._replace(revoked={*situation.revoked, kid}))
        if ready:
            await self._turns.move_to(ready[0], "revoked")
        else:
            _log.error("no standby may sign yet: no token is issued until one may")

    async def _replenish(self) -> None:
        """In development, where the roots are at hand, a keyset near its end renews itself, and a
        standby that a crash has left unpublished is published.
        """
        if self._turns.chosen is None or not self._due():
            return
        roots = self._folder.root_signers()
        if not roots:
            return
        async with self._changing:
            if self._due():
                await self._publish_next(self._turns.chosen, None, roots, "renewal")

    def _due(self) -> bool:
        keyset = self._turns.known_keyset
        if keyset is None or self._publication.pending:
            return False
        ends = keyset.expires_at - self._wall_clock() <= key_notices.AHEAD_S
        return ends or not self._turns.stands_by_after(self._turns.chosen)

    def _roots(self) -> list[Signer]:
        roots = self._folder.root_signers()
        if not roots:
            raise RequestRejected("no_roots", "the roots are offline: hold a ceremony", 409)
        return roots

    async def _publish_next(
        self, active: str | None, retiring: str | None, roots: list[Signer], reason: str
    ) -> None:
        keyset = self._turns.keyset()
        now = int(self._wall_clock())
        alg = key_life_cycle.token_keys(keyset)[-1].alg
        standby = await asyncio.to_thread(generate, alg)
        self._folder.keys.save(standby)
        until = now + MAX_KEYSET_LIFE_S
        following = keyset_drafts.next_keyset(
            keyset,
            active=active,
            retiring=retiring,
            added=ceremony.entry(standby, "token", now, until, keyset.policy.max_token_life_s),
            revoked=self._turns.revoked,
            now=now,
            expires_at=until,
            bound_s=-(-keyset.policy.bound_ms // 1000),
        )
        await self._publication.publish(keysets.sign(following, roots), reason)
        await self._turns.refresh()
