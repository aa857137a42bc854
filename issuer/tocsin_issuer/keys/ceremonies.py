"""The issuer's part in a ceremony: it drafts what the roots are asked to sign, and publishes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from msgspec import ValidationError, convert, to_builtins

from tocsin_issuer.core import key_life_cycle, keyset_drafts
from tocsin_issuer.core.key_life_cycle import Phase
from tocsin_issuer.keys import ceremony, draft
from tocsin_issuer.keys.ceremony import LEDGER_ALG, IssuerFolder
from tocsin_issuer.keys.draft import KeysetDraft
from tocsin_issuer.keys.draft_request import DraftRequest, NewRoots
from tocsin_issuer.keys.key_turns import KeyTurns
from tocsin_issuer.keys.publication import Publication
from tocsin_issuer.keys.signer import PrivateKeySigner, generate
from tocsin_issuer.store.outbox import Emission
from tocsin_revocation_bus.core.replica import Replica
from tocsin_schemas.errors import DocumentRejected, RequestRejected
from tocsin_schemas.keyset import Keyset, KeysetKey, Policy, RootSet
from tocsin_schemas.signed_document import SignedDocument

_AHEAD_S = 300


class Ceremonies:
    """``wall_clock`` is in seconds of UTC; ``max_token_life_s`` what the configuration issues."""

    def __init__(
        self,
        *,
        folder: IssuerFolder,
        replica: Replica,
        turns: KeyTurns,
        publication: Publication,
        wall_clock: Callable[[], float],
        max_token_life_s: int,
    ) -> None:
        self._folder = folder
        self._replica = replica
        self._turns = turns
        self._publication = publication
        self._wall_clock = wall_clock
        self._max_token_life_s = max_token_life_s

    async def draft(self, wanted: DraftRequest) -> KeysetDraft:
        """Make the keys that are missing, and the keyset that lists them.

        Raises:
            RequestRejected: as :func:`scheduled_keyset`, ``policy_out_of_caps`` (400), or
                ``no_signing_key`` (503).
        """
        situation = self._turns.situation()
        keyset, revoked, active = situation[:3]
        now, policy = int(situation.now), _changed(keyset.policy, wanted)
        phases = key_life_cycle.phases(*situation)
        after = [
            kid
            for kid, phase in phases.items()
            if phase in (Phase.STANDBY, Phase.PENDING) and kid != active
        ]
        added: list[KeysetKey] = []
        algs = wanted.algs or (key_life_cycle.token_keys(keyset)[-1].alg,)
        for place in range(max(0, wanted.rotations - len(after))):
            made = await self._make(algs[place % len(algs)])
            added.append(ceremony.entry(made, "token", now, now, 0))
        dropped: list[str] = []
        if wanted.new_ledger_key:
            dropped = [key.kid for key in keyset.keys if key.use == "ledger"]
            made = await self._make(LEDGER_ALG)
            added.append(ceremony.entry(made, "ledger", now, now, 0))
        following = keyset_drafts.scheduled_keyset(
            keyset,
            active=active,
            added=added,
            revoked=revoked,
            now=now,
            every_s=wanted.every_s,
            bound_s=-(-max(keyset.policy.bound_ms, policy.bound_ms) // 1000),
            roots=self._roots(keyset, wanted.roots),
            policy=policy,
            dropped=dropped,
            life_s=wanted.life_s,
        )
        return KeysetDraft(following, self._replica.trust.document)

    async def _make(self, alg: str) -> PrivateKeySigner:
        made = await asyncio.to_thread(generate, alg)
        self._folder.keys.save(made)
        return made

    def _roots(self, keyset: Keyset, wanted: NewRoots | None) -> RootSet | None:
        if wanted is None:
            return None
        return RootSet(
            version=keyset.roots.version + 1, threshold=wanted.threshold, keys=wanted.keys
        )

    async def publish(self, document: SignedDocument) -> Emission:
        """Publish a keyset that enough roots have signed.

        Raises:
            RequestRejected: with the code of what is wrong; nothing has changed then. Or
                ``commit_pending`` (503).
        """
        if self._publication.pending:
            raise RequestRejected("commit_pending", "another keyset waits for the ledger", 503)
        try:
            keyset = draft.check_signed(self._replica.trust, document)
        except DocumentRejected as rejected:
            raise RequestRejected(rejected.code, str(rejected), 409) from None
        self._check_dates(keyset)
        self._check_token_keys(keyset)
        self._check_ledger_keys(keyset)
        emission = await self._publication.publish(document, "ceremony")
        await self._turns.refresh()
        return emission

    def _check_dates(self, keyset: Keyset) -> None:
        now = self._wall_clock()
        if keyset.expires_at <= now:
            raise RequestRejected("keyset_expired", "the keyset has run out already", 409)
        if keyset.issued_at > now + _AHEAD_S:
            raise RequestRejected("expires_too_far", "the keyset is of the future", 409)
        if keyset.policy.max_token_life_s < self._max_token_life_s:
            raise RequestRejected("policy_mismatch", "we issue tokens that live longer", 409)

    def _check_token_keys(self, keyset: Keyset) -> None:
        """One that can sign at once, and every other one that is to come, must be here."""
        situation = self._turns.situation()._replace(keyset=keyset)
        held = self._folder.keys.kids()
        phases = key_life_cycle.phases(*situation)
        for kid, phase in phases.items():
            coming = phase in (Phase.ACTIVE, Phase.STANDBY, Phase.PENDING)
            if coming and kid not in held:
                raise RequestRejected("key_missing", f"the private key of {kid} is not here", 409)
        key_life_cycle.choose_active(*situation)

    def _check_ledger_keys(self, keyset: Keyset) -> None:
        now, held = self._wall_clock(), self._folder.keys.kids()
        for key in keyset.keys:
            usable = key.use == "ledger" and key.sign_from <= now <= key.sign_until
            if usable and key.kid in held and key.kid not in self._turns.revoked:
                return
        raise RequestRejected("no_ledger_key", "no ledger key of the keyset is here", 409)


def _changed(policy: Policy, wanted: DraftRequest) -> Policy:
    try:
        return convert({**to_builtins(policy), **wanted.policy}, Policy)
    except ValidationError:
        raise RequestRejected(
            "policy_out_of_caps", "the policy is beyond what agents accept"
        ) from None
