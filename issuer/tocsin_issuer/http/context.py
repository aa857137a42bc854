"""What the routes need, in one object."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from tocsin_issuer.config import IssuerConfig
from tocsin_issuer.http.request_counts import RequestCounts
from tocsin_issuer.minting import TokenMinter
from tocsin_issuer.revoking.live_counts import LiveCounts
from tocsin_issuer.revoking.revoker import Revoker
from tocsin_issuer.store.audit_log import AuditLog
from tocsin_issuer.store.clients import ClientStore
from tocsin_issuer.store.cutoffs import Cutoffs
from tocsin_issuer.store.outbox import Emission, Outbox
from tocsin_issuer.store.revocations import Revocations
from tocsin_issuer.store.sessions import SessionStore
from tocsin_issuer.store.throttle import Throttle
from tocsin_issuer.store.users import Authenticator
from tocsin_verifier_agent.core.confirmation import Certificate
from tocsin_verifier_agent.core.verified import Verified


class KeyAdministration(Protocol):
    """The token keys, as far as the outside may see and change them."""

    def jwks(self) -> dict[str, Any]:
        """The public keys as a JWK Set (RFC 7517 section 5)."""
        ...

    def pems(self) -> str:
        """The same as PEM, one after the other."""
        ...

    def describe(self) -> dict[str, Any]:
        """Phases and dates, and what is to be noticed."""
        ...

    async def rotate(self) -> str:
        """Let the standby sign; return its kid."""
        ...

    async def revoke(self, kid: str) -> Emission:
        """Revoke a key for good."""
        ...


@dataclass(frozen=True, slots=True, repr=False)
class IssuerContext:
    """One issuer.

    ``verify_admin`` is the embedded agent's ``verify``: an operator's token must not be a revoked
    one (TokenRejected, AgentStale). ``verify_any`` is the same for tokens of every audience that
    are asked about or traded: their certificate is somebody else's.
    ``verify_own`` looks at signature and claims alone, of tokens of every audience: people can log
    out while the bus is down.
    ``readiness`` says whether everything works that is needed. ``bound_s`` is B, in seconds.
    ``requests`` counts those of both listeners.
    """

    config: IssuerConfig
    users: Authenticator
    throttle: Throttle
    clients: ClientStore
    sessions: SessionStore
    revocations: Revocations
    cutoffs: Cutoffs
    revoker: Revoker
    live_counts: LiveCounts
    minter: TokenMinter
    outbox: Outbox
    audit_log: AuditLog
    keys: KeyAdministration
    verify_admin: Callable[[str, Certificate], Verified]
    verify_any: Callable[[str], Verified]
    verify_own: Callable[[str, Certificate], Verified]
    readiness: Callable[[], Awaitable[bool]]
    bound_s: Callable[[], int]
    requests: RequestCounts = field(default_factory=RequestCounts)
