"""What the routes need, made from the service's parts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from redis.asyncio import Redis

from tocsin_issuer.config import IssuerConfig
from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.keys.key_manager import KeyManager
from tocsin_issuer.minting import TokenMinter
from tocsin_issuer.own_tokens import OwnAuthority
from tocsin_issuer.revoking.live_counts import LiveCounts
from tocsin_issuer.revoking.revoker import Revoker
from tocsin_issuer.service.ledger import IssuerLedger
from tocsin_issuer.service.stores import Stores
from tocsin_revocation_bus.clocks import lease_clock, wall_clock
from tocsin_verifier_agent.core.authority import LedgerAuthority
from tocsin_verifier_agent.core.confirmation import NOT_USED, Certificate
from tocsin_verifier_agent.core.token_verifier import TokenVerifier
from tocsin_verifier_agent.core.verified import Verified


def issuer_context(
    config: IssuerConfig, redis: Redis, ledger: IssuerLedger, stores: Stores, keys: KeyManager
) -> IssuerContext:
    """For both listeners."""
    replica = ledger.replica
    by_ledger = LedgerAuthority(replica)

    async def readiness() -> bool:
        """Ready to log people in: there is a ledger. Being stale is no reason to be restarted."""
        return replica.head is not None

    return IssuerContext(
        config=config,
        users=stores.users,
        throttle=stores.throttle,
        clients=stores.clients,
        sessions=stores.sessions,
        revocations=stores.revocations,
        minter=TokenMinter(keys, stores.register, config),
        outbox=ledger.outbox,
        audit_log=stores.audit_log,
        cutoffs=stores.cutoffs,
        revoker=Revoker(stores.revocations, stores.cutoffs, ledger.bound_s),
        live_counts=LiveCounts(redis),
        keys=keys,
        verify_admin=_with_certificate(_verifier(config, by_ledger, frozenset({config.iss}))),
        verify_any=partial(_verifier(config, by_ledger).verify, certificate=NOT_USED),
        verify_own=_with_certificate(_verifier(config, OwnAuthority(replica))),
        readiness=readiness,
        bound_s=ledger.bound_s,
    )


def _verifier(
    config: IssuerConfig, authority: LedgerAuthority, audiences: frozenset[str] | None = None
) -> TokenVerifier:
    return TokenVerifier(
        authority,
        audiences={config.iss: audiences},
        lease_clock=lease_clock,
        wall_clock=wall_clock,
    )


def _with_certificate(verifier: TokenVerifier) -> Callable[[str, Certificate], Verified]:
    return lambda token, certificate: verifier.verify(token, certificate=certificate)
