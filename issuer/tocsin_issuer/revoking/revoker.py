"""Carrying out what an operator or another service wants revoked."""

from collections.abc import Callable
from dataclasses import dataclass

from tocsin_issuer.revoking.target import Target
from tocsin_issuer.store.cutoffs import Cutoffs
from tocsin_issuer.store.outbox import Emission
from tocsin_issuer.store.revocations import Revocations
from tocsin_schemas.events import Initiator


@dataclass(frozen=True, slots=True)
class Revoker:
    """``bound_s`` is B, in seconds."""

    revocations: Revocations
    cutoffs: Cutoffs
    bound_s: Callable[[], int]

    async def revoke(self, target: Target, reason: str, initiator: Initiator) -> Emission:
        """Put the revocation into the outbox, and end what there is to end.

        Raises:
            RequestRejected: what :class:`Revocations` and :class:`Cutoffs` refuse.
            LedgerRejected: ``event_malformed``.
        """
        name, iss = target.name, target.iss
        match target.by:
            case "token":
                return await self.revocations.revoke_tokens(
                    [(name, target.exp)], reason, initiator, iss=iss
                )
            case "session":
                return await self.revocations.revoke_sessions(
                    [name], reason, initiator, bound_s=self.bound_s(), iss=iss
                )
            case "subject":
                return await self.cutoffs.subject(name, reason, initiator, iss=iss)
            case "client":
                return await self.cutoffs.client(name, reason, initiator, iss=iss)
            case "key":
                return await self.revocations.revoke_foreign_key(iss or "", name, reason, initiator)
            case "all":
                return await self.cutoffs.everything(reason, initiator)
