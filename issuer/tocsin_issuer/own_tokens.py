"""What the issuer asks of a token that wants to log out: that it signed it, and no more.

A logout must work while NATS is away and the issuer's own lease has lapsed. It only takes away, so
a token that is revoked already may ask for it too; one by a revoked key may not.
"""

from tocsin_revocation_bus.core.replica import Replica
from tocsin_revocation_bus.core.state import TokenFacts
from tocsin_verifier_agent.core.authority import FOREVER, LedgerAuthority


class OwnAuthority(LedgerAuthority):
    """Our own keys, without rules and without a lease. For nothing that gives."""

    def __init__(self, replica: Replica) -> None:
        super().__init__(replica)
        self._revoked_keys = replica.state.revoked_keys

    def why_rejected(self, facts: TokenFacts) -> str | None:
        """A revoked key's tokens may be anybody's."""
        return "key_revoked" if facts.kid in self._revoked_keys else None

    def valid_until(self, max_staleness_ns: int | None, wall: float) -> int | None:
        """No lease is needed."""
        return FOREVER
