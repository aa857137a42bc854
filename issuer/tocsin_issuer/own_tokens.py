"""What the issuer asks of a token that wants to log out: that it signed it, and no more.

A logout must work while NATS is away and the issuer's own lease has lapsed. It only takes away, so
a token that is revoked already may ask for it too; one by a revoked key may not.
"""

from tocsin_revocation_bus.core.replica import Replica
from tocsin_revocation_bus.core.state import State, TokenFacts
from tocsin_verifier_agent.core.authority import FOREVER, LedgerAuthority


class KeysOnly:
    """The denylist without its rules but for those against keys: their tokens may be anybody's."""

    def __init__(self, state: State) -> None:
        self._state = state

    @property
    def generation(self) -> int:
        """The state's."""
        return self._state.generation

    @property
    def horizon(self) -> int:
        """The state's."""
        return self._state.horizon

    def why_rejected(self, facts: TokenFacts) -> str | None:
        """Whether the key is revoked."""
        return "key_revoked" if facts.kid in self._state.revoked_keys else None


class OwnAuthority(LedgerAuthority):
    """Our own keys, without rules and without a lease. For nothing that gives."""

    def __init__(self, replica: Replica) -> None:
        super().__init__(replica, KeysOnly(replica.state), lambda *_: FOREVER)
