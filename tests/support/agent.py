"""An agent's verifier over a ledger in memory, with clocks that stand still."""

from __future__ import annotations

from threading import Lock
from typing import Any

from tests.support.clock import FixedClock
from tests.support.forge import token
from tests.support.ledger import TOKEN_KEY, Ledger
from tests.support.tokens import AUDIENCE, ISSUER, claims
from tocsin_issuer.keys.signer import PrivateKeySigner
from tocsin_revocation_bus.core.replica import Outcome, Replica
from tocsin_schemas.errors import AgentStale, TokenRejected
from tocsin_schemas.events import Event
from tocsin_verifier_agent.core.authority import LedgerAuthority
from tocsin_verifier_agent.core.token_cache import TokenCache
from tocsin_verifier_agent.core.token_verifier import TokenVerifier
from tocsin_verifier_agent.core.verified import Verified


class Agent:
    """Live from the start; ``fold`` commits and applies a record, ``beat`` a heartbeat."""

    def __init__(self, ledger: Ledger | None = None, cache: TokenCache | None = None) -> None:
        self.ledger = Ledger() if ledger is None else ledger
        self.replica: Replica = self.ledger.live_replica()
        self.clock = FixedClock()
        self.cache = TokenCache(Lock()) if cache is None else cache
        self.verifier = TokenVerifier(
            LedgerAuthority(self.replica),
            audiences={ISSUER: frozenset([AUDIENCE])},
            lease_clock=lambda: self.clock.now(),
            wall_clock=lambda: self.clock.utc(),
            cache=self.cache,
        )

    def mint(self, key: PrivateKeySigner = TOKEN_KEY, **changes: Any) -> str:
        iat = changes.pop("iat", int(self.clock.wall))
        return token(key, claims(iat, **changes))

    def verify(self, text: str, max_staleness_ns: int | None = None) -> Verified:
        return self.verifier.verify(text, max_staleness_ns)

    def code(self, text: Any, max_staleness_ns: int | None = None) -> str:
        """``accepted``, or the code of the refusal; that of a stale agent starts with ``503``."""
        try:
            self.verifier.verify(text, max_staleness_ns)
        except TokenRejected as rejected:
            return rejected.code
        except AgentStale as stale:
            return f"503 {stale.code}"
        return "accepted"

    def fold(self, *carried: Event, **changes: Any) -> None:
        changes.setdefault("iat", int(self.clock.wall))
        text = self.ledger.append(*carried, **changes)
        outcome = self.replica.apply_record(text, self.clock.lease, self.clock.wall)
        assert outcome is Outcome.APPLIED, (outcome, self.replica.noise, self.replica.halted)

    def beat(self) -> None:
        text = self.ledger.beat(self.clock.lease, utc=int(self.clock.wall * 1000))
        outcome = self.replica.apply_heartbeat(text, self.clock.lease, self.clock.wall)
        assert outcome is Outcome.APPLIED
