"""What adapters stand on: an agent in the process, or the host's sidecar. The file chooses."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from tocsin_schemas.errors import AgentStale, TokenRejected
from tocsin_verifier_agent import agent_file
from tocsin_verifier_agent.agent import VerifierAgent
from tocsin_verifier_agent.core.confirmation import PeerCertificate
from tocsin_verifier_agent.core.leniency import OnStale
from tocsin_verifier_agent.core.verified import Verified


class Authenticator(Protocol):
    """Says whether a token may be accepted; ``max_staleness`` is in seconds. A token that is bound
    to a certificate (RFC 8705) is accepted only with ``certificate``, which its bearer has shown.

    ``authenticate`` never blocks its event loop; ``authenticate_blocking`` and ``verify`` are for
    threads that have none. All raise :class:`TokenRejected` (401) or :class:`AgentStale` (503).

    The issuer is asked about a request alone (``on_stale = introspect``). ``verify`` and
    ``until_refused`` look again at a token behind a connection, and refuse instead.
    """

    async def authenticate(
        self,
        token: str,
        max_staleness: float | None = None,
        on_stale: OnStale | None = None,
        certificate: PeerCertificate = None,
    ) -> Verified:
        """Accept a token, or say why not."""
        ...

    def authenticate_blocking(
        self,
        token: str,
        max_staleness: float | None = None,
        on_stale: OnStale | None = None,
        certificate: PeerCertificate = None,
    ) -> Verified:
        """As :meth:`authenticate`, for code without an event loop."""
        ...

    def verify(
        self,
        token: str,
        max_staleness: float | None = None,
        on_stale: OnStale | None = None,
        certificate: PeerCertificate = None,
    ) -> Verified:
        """As :meth:`authenticate_blocking`, but the issuer is never asked."""
        ...

    async def until_refused(
        self,
        token: str,
        max_staleness: float | None = None,
        on_stale: OnStale | None = None,
        certificate: PeerCertificate = None,
    ) -> TokenRejected | AgentStale:
        """Wait until a token that is good now no longer is; return why."""
        ...

    def describe(self) -> dict[str, object]:
        """State (``live`` or not), reason and figures, for a readiness page or a person; it may
        take a round trip to the sidecar.
        """
        ...

    async def run_in_loop(self) -> bool:
        """Start in the running event loop; return whether answers can be given already."""
        ...

    async def leave_loop(self) -> None:
        """Stop."""
        ...

    def start(self) -> bool:
        """Start without an event loop; return whether answers can be given already."""
        ...

    def stop(self) -> None:
        """Stop what :meth:`start` started."""
        ...


def from_file(path: str | Path | None = None) -> Authenticator:
    """What a `.tocsin` file asks for, by default the one that ``TOCSIN_FILE`` names.

    Raises:
        ConfigurationError: the file is missing, open to others, or wrong.
    """
    where = agent_file.path_from_environment() if path is None else Path(path)
    parsed = agent_file.read(where)
    if parsed.sidecar is not None:
        from tocsin_verifier_agent.sidecar.client import SidecarClient  # needs the extra `http`

        audiences = {parsed.issuer: frozenset(parsed.audiences), **parsed.foreign()}
        return SidecarClient(where.parent / parsed.sidecar, audiences)
    return VerifierAgent.from_parsed(parsed, where.parent)
