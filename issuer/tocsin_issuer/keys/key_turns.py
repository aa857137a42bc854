"""Which token key signs now, on this replica as on all others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Any

from tocsin_issuer.core import key_life_cycle, key_notices
from tocsin_issuer.core.key_life_cycle import KeyTimes, Phase, Situation
from tocsin_issuer.keys import key_view
from tocsin_issuer.keys.announcer import Announcer
from tocsin_issuer.keys.key_store import KeyStore
from tocsin_issuer.keys.signer import PrivateKeySigner
from tocsin_issuer.store.key_choice import KeyChoice
from tocsin_revocation_bus.core.replica import Replica
from tocsin_schemas.errors import ConfigurationError, RequestRejected
from tocsin_schemas.jws import Signer
from tocsin_schemas.keyset import Keyset

_log = logging.getLogger("tocsin.keys")


class KeyTurns:
    """Goes through the schedule of the keyset in force, as the ledger has it.

    ``wall_clock`` is in seconds of UTC. All replicas share the choice: whoever first sees that a
    turn has ended moves on, and the others follow.
    """

    def __init__(
        self,
        store: KeyStore,
        replica: Replica,
        choice: KeyChoice,
        wall_clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._replica = replica
        self._choice = choice
        self._wall_clock = wall_clock
        self._signers: dict[str, PrivateKeySigner] = {}
        self._active: str | None = None
        self._acked_at: dict[str, float] = {}
        self._held: frozenset[str] = frozenset()
        self._announcer = Announcer()

    # --- signing --------------------------------------------------------------------------------

    def active(self) -> Signer:
        """The key that signs now.

        Raises:
            RequestRejected: ``no_signing_key`` (503).
        """
        kid = self._choose()
        try:
            return self._signer(kid)
        except ConfigurationError as error:
            raise RequestRejected(
                "no_signing_key", f"no key to sign with: {error.code}", 503
            ) from None

    def _choose(self) -> str:
        return key_life_cycle.choose_active(*self.situation())

    def situation(self) -> Situation:
        """What the life cycle is asked with."""
        keyset = self.keyset()
        times = KeyTimes(self._acked_at, keyset.policy.bound_ms / 1000)
        return Situation(keyset, self.revoked, self._active, self._wall_clock(), times)

    def _signer(self, kid: str) -> PrivateKeySigner:
        if kid not in self._signers:
            self._signers[kid] = self._store.load(kid)
        return self._signers[kid]

    def keyset(self) -> Keyset:
        """The keyset in force.

        Raises:
            RequestRejected: ``no_signing_key`` (503).
        """
        keyset = self.known_keyset
        if keyset is None:
            raise RequestRejected("no_signing_key", "the ledger has not been read yet", 503)
        return keyset

    @property
    def known_keyset(self) -> Keyset | None:
        """The keyset in force, once the ledger has been read."""
        return self._replica.trust.keyset

    @property
    def revoked(self) -> Collection[str]:
        """The kids that are revoked for good."""
        return self._replica.state.revoked_keys

    @property
    def chosen(self) -> str | None:
        """The key that all replicas sign with, as it was chosen last."""
        return self._active

    def stands_by_after(self, kid: str | None) -> bool:
        """Whether a key could take over from ``kid``, now or once it is old enough."""
        phases = key_life_cycle.phases(*self.situation()._replace(active=kid))
        return not {Phase.STANDBY, Phase.PENDING}.isdisjoint(
            phase for other, phase in phases.items() if other != kid
        )

    # --- what comes with time -------------------------------------------------------------------

    async def refresh(self) -> None:
        """Note which keys have a PubAck now, take over what other replicas chose, and move on where
        a turn has ended.
        """
        keyset = self.known_keyset
        if keyset is None:
            return
        now = self._wall_clock()
        self._held = frozenset(self._store.kids())
        known = await self._choice.acked_at()
        for key in keyset.keys:
            if key.kid not in known:
                await self._choice.note_acked(key.kid, key_life_cycle.known_since(keyset, now))
        self._acked_at = await self._choice.acked_at()
        self._active = await self._choice.active()
        try:
            wanted = self._choose()
            if wanted != self._active:
                await self.move_to(wanted, self._why_leave())
        except (RequestRejected, ConfigurationError):
            return  # announced; another replica may have the key

    def _why_leave(self) -> str:
        if self._active is None:
            return "first"
        return "revoked" if self._active in self.revoked else "schedule"

    async def move_to(self, kid: str, why: str) -> str:
        """Let ``kid`` sign. Returns who signs now: it may be what another replica has moved on to.

        Raises:
            ConfigurationError: ``key_missing``; nothing has changed then.
        """
        self._signer(kid)
        left = self._active
        self._active = await self._choice.choose(
            kid, instead_of=left, at=self._wall_clock(), why=why
        )
        if self._active == kid:
            _log.warning("%s signs in place of %s: %s", kid, left, why)
        return self._active

    def announce(self) -> None:
        """Log what an operator must hear of."""
        if self.known_keyset is not None:
            found = key_notices.notices(self.situation(), self._held)
            self._announcer.say(found, self._wall_clock())

    # --- what others may see --------------------------------------------------------------------

    def jwks(self) -> dict[str, object]:
        """The public token keys that are not revoked (RFC 7517 section 5)."""
        return key_view.jwks(key_view.published(self.known_keyset, self.revoked))

    def pems(self) -> str:
        """The same keys as PEM, one after the other."""
        return key_view.pems(key_view.published(self.known_keyset, self.revoked))

    def describe(self) -> dict[str, Any]:
        """Phases and dates of all keys, in the order of their turns, and what is to be noticed."""
        return key_view.describe(self.situation(), self._held)
