"""Where a verifier's keys, rules and lease come from."""

from collections.abc import Mapping
from typing import Protocol

from tocsin_revocation_bus.core.replica import Replica
from tocsin_revocation_bus.core.state import TokenFacts
from tocsin_schemas.claims import IAT_AHEAD_S
from tocsin_schemas.jwk import PublicKey

FOREVER = 2**63


class Authority(Protocol):
    """Times are nanoseconds of the lease clock, but for ``iat`` and ``wall`` (seconds of UTC)."""

    @property
    def generation(self) -> int:
        """Moves after every change of keys or rules."""
        ...

    @property
    def horizon(self) -> int:
        """A time that has surely passed, in seconds of UTC."""
        ...

    @property
    def max_token_life_s(self) -> int:
        """The longest life that a token may claim."""
        ...

    @property
    def own_jti(self) -> bool:
        """Whether every jti must be one of the Tocsin issuer's own."""
        ...

    def key(self, kid: str) -> PublicKey | None:
        """The key of that name, revoked or not."""
        ...

    def in_window(self, kid: str, iat: int, wall: float) -> bool:
        """Whether that key may have signed at ``iat`` and is good at ``wall``."""
        ...

    def verify_until(self, kid: str) -> float:
        """Until when what that key signed is good, in seconds of UTC."""
        ...

    def why_rejected(self, facts: TokenFacts) -> str | None:
        """The first rule that hits."""
        ...

    def valid_until(self, max_staleness_ns: int | None, wall: float) -> int | None:
        """Until when an answer may be given; None without a lease."""
        ...

    def stale_reason(self, now: int, wall: float) -> str:
        """Why there is no lease, as a stable code."""
        ...


class LedgerAuthority:
    """A replica of the ledger."""

    own_jti = True

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._state = replica.state

    @property
    def generation(self) -> int:
        """The state's."""
        return self._state.generation

    @property
    def horizon(self) -> int:
        """G, the ledger's own time."""
        return self._state.horizon

    @property
    def max_token_life_s(self) -> int:
        """The policy's."""
        policy = self._replica.trust.policy
        return 0 if policy is None else policy.max_token_life_s

    def key(self, kid: str) -> PublicKey | None:
        """From the keyset in force."""
        return self._replica.trust.token_keys.get(kid)

    def in_window(self, kid: str, iat: int, wall: float) -> bool:
        """The keyset's windows."""
        window = self._replica.trust.windows.get(kid)
        return (
            window is not None
            and window.sign_from - IAT_AHEAD_S <= iat <= window.sign_until
            and max(wall, self._state.horizon) <= window.verify_until
        )

    def verify_until(self, kid: str) -> float:
        """The end of the key's window."""
        window = self._replica.trust.windows.get(kid)
        return 0.0 if window is None else window.verify_until

    def why_rejected(self, facts: TokenFacts) -> str | None:
        """The state's verdict."""
        return self._state.why_rejected(facts)

    def valid_until(self, max_staleness_ns: int | None, wall: float) -> int | None:
        """The lease's end; an expired keyset vouches for nothing."""
        return self._replica.vouched_until(max_staleness_ns, wall)

    def stale_reason(self, now: int, wall: float) -> str:
        """The replica's one reason."""
        return self._replica.status(now, wall).reason or "lease_lapsed"


class StaticAuthority:
    """Keys given once, and no ledger: nothing is ever revoked and nothing ever goes stale."""

    generation = 0
    horizon = 0
    own_jti = False

    def __init__(self, keys: Mapping[str, PublicKey], max_token_life_s: int) -> None:
        self._keys = keys
        self.max_token_life_s = max_token_life_s

    def key(self, kid: str) -> PublicKey | None:
        """From the keys given."""
        return self._keys.get(kid)

    def in_window(self, kid: str, iat: int, wall: float) -> bool:
        """A JWKS has no windows."""
        return True

    def verify_until(self, kid: str) -> float:
        """A JWKS has no windows."""
        return float(FOREVER)

    def why_rejected(self, facts: TokenFacts) -> str | None:
        """No rules."""
        return None

    def valid_until(self, max_staleness_ns: int | None, wall: float) -> int | None:
        """For ever."""
        return FOREVER

    def stale_reason(self, now: int, wall: float) -> str:
        """Never asked for."""
        return "lease_lapsed"
