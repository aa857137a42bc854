"""Going on without a proof: what `on_stale = accept` and observe mode let pass, and how far.

Neither ever passes a bad signature or bad claims. What they let pass carries the reason with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from tocsin_schemas.claims import EXP_LEEWAY_S
from tocsin_schemas.errors import AgentStale
from tocsin_verifier_agent.core.authority import Authority
from tocsin_verifier_agent.core.confirmation import PeerCertificate
from tocsin_verifier_agent.core.token_verifier import TokenVerifier
from tocsin_verifier_agent.core.verified import Verified

OnStale = Literal["reject", "accept", "introspect"]
ACCEPT_CAP_S: Final = 900  # after the lease, however an agent or a route is configured
# The verdicts of the ledger. Observe mode reports them; every other refusal stands.
OF_THE_LEDGER: Final = frozenset(
    {
        "key_window",
        "key_revoked",
        "token_revoked",
        "session_revoked",
        "subject_revoked",
        "client_revoked",
        "all_revoked",
    }
)


class Leniency:
    """Verifies what the strict verifier would not answer for."""

    def __init__(
        self,
        verifier: TokenVerifier,
        authority: Authority,
        lease_clock: Callable[[], int],
        wall_clock: Callable[[], float],
    ) -> None:
        self._verifier = verifier
        self._authority = authority
        self._lease_clock = lease_clock
        self._wall_clock = wall_clock

    def accept(self, token: str, reason: str, certificate: PeerCertificate = None) -> Verified:
        """Accept a good token that no known rule hits, for a while after the lease has lapsed.

        ``reason`` is why there is no lease.

        Raises:
            TokenRejected: signature, claims, or a rule that is known.
            AgentStale: nothing was ever proven, the ledger is refused, or the while is over.
        """
        wall = self._wall_clock()
        lapsed = self._authority.valid_until(None, wall)
        if lapsed is None:
            raise AgentStale(reason)
        cap = lapsed + ACCEPT_CAP_S * 1_000_000_000
        entry = self._verifier.verify_unproven(token, obey_rules=True, certificate=certificate)
        now = self._lease_clock()
        if now > cap:
            raise AgentStale(reason)
        until = min(entry.not_after, wall + (cap - now) * 1e-9)
        return Verified(entry.payload, entry.token, until, unproven=reason)

    def before_asking(self, token: str, certificate: PeerCertificate = None) -> Verified:
        """The answer if the issuer says yes; it holds for this moment only.

        Raises:
            TokenRejected: signature, claims, or a rule that is known; nobody need be asked.
            AgentStale: its key is not known.
        """
        wall = self._wall_clock()
        entry = self._verifier.verify_unproven(token, obey_rules=True, certificate=certificate)
        return Verified(entry.payload, entry.token, wall, unproven="introspected")

    def observe(self, token: str, would_deny: str, certificate: PeerCertificate = None) -> Verified:
        """Accept what only the ledger, or the want of a lease, is against.

        Raises:
            TokenRejected: signature or claims are bad.
            AgentStale: no key is known to check the signature with.
        """
        entry = self._verifier.verify_unproven(token, obey_rules=False, certificate=certificate)
        until = float(entry.token.exp + EXP_LEEWAY_S)  # its key's time may be over already
        return Verified(entry.payload, entry.token, until, would_deny=would_deny)
