"""Asking this host's sidecar over its Unix socket, in place of an agent in the process.

For prefork servers, and for hosts with many small services: one agent follows the ledger for all of
them. Nothing is kept here; each verdict is the sidecar's, of this moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import DecodeError

from tocsin_revocation_bus.clocks import lease_clock
from tocsin_schemas import strict_json
from tocsin_schemas.confirmation import thumbprint
from tocsin_schemas.errors import AgentStale, EncodingRejected, TokenRejected
from tocsin_verifier_agent.core.confirmation import PeerCertificate
from tocsin_verifier_agent.core.leniency import OnStale
from tocsin_verifier_agent.core.verified import Verified
from tocsin_verifier_agent.sidecar import question
from tocsin_verifier_agent.sidecar.address import check_folder
from tocsin_verifier_agent.sidecar.connections import UNREACHABLE, Answer, Connections
from tocsin_verifier_agent.sidecar.question import Question

LOOK_AGAIN_S: Final = 1.0


class SidecarClient:
    """An :class:`~tocsin_verifier_agent.authenticator.Authenticator` that asks a sidecar.

    It may be made before a fork: connections belong to one process and one event loop, and are
    opened when they are first needed. A sidecar that is away, slow, or answers nonsense is
    :class:`AgentStale` ``sidecar_unreachable``, and ``socket_folder`` where others have come to be
    able to put a socket of theirs in its place; nothing is accepted then.

    Args:
        path: the sidecar's socket.
        audiences: our names in each issuer's tokens; needed where the sidecar accepts tokens for
            other services too.

    Raises:
        ConfigurationError: ``socket_folder``: others may put a socket of theirs in its place.
    """

    def __init__(
        self, path: str | Path, audiences: Mapping[str, frozenset[str]] | None = None
    ) -> None:
        self._path = Path(path)
        self._audiences = None if audiences is None else dict(audiences)
        with suppress(OSError):  # the sidecar may make it yet; each question looks again
            check_folder(self._path)
        self._connections = Connections(self._path)

    async def authenticate(
        self,
        token: str,
        max_staleness: float | None = None,
        on_stale: OnStale | None = None,
        certificate: PeerCertificate = None,
    ) -> Verified:
        """Accept a token, or say why not; ``max_staleness`` is in seconds.

        Raises:
            TokenRejected: it must not be accepted (401).
            AgentStale: nobody can say (503).
        """
        return await self._look(_question(token, max_staleness, on_stale, certificate))

    def authenticate_blocking(
        self,
        token: str,
        max_staleness: float | None = None,
        on_stale: OnStale | None = None,
        certificate: PeerCertificate = None,
    ) -> Verified:
        """As :meth:`authenticate`, for threads that run no event loop."""
        return self._look_blocking(_question(token, max_staleness, on_stale, certificate))

    def verify(
        self,
        token: str,
        max_staleness: float | None = None,
        on_stale: OnStale | None = None,
        certificate: PeerCertificate = None,
    ) -> Verified:
        """As :meth:`authenticate_blocking`, but the sidecar does not ask the issuer."""
        asked = _question(token, max_staleness, on_stale, certificate, may_ask=False)
        return self._look_blocking(asked)

    async def until_refused(
        self,
        token: str,
        max_staleness: float | None = None,
        on_stale: OnStale | None = None,
        certificate: PeerCertificate = None,
    ) -> TokenRejected | AgentStale:
        """Ask again every second, until it is refused or nobody can say; return why. The sidecar
        does not ask the issuer.
        """
        while True:
            try:
                await self._look(
                    _question(token, max_staleness, on_stale, certificate, may_ask=False)
                )
            except (TokenRejected, AgentStale) as refusal:
                return refusal
            await asyncio.sleep(LOOK_AGAIN_S)

    def describe(self) -> dict[str, object]:
        """What the sidecar's agent says of itself; a round trip, for code without an event loop."""
        try:
            return _described(self._connections.ask_blocking(question.READY_PATH))
        except AgentStale as stale:
            return {"state": "stale", "reason": stale.code}

    # --- life -----------------------------------------------------------------------------------

    async def run_in_loop(self) -> bool:
        """Whether the sidecar answers and is live; it may come later as well."""
        try:
            described = _described(await self._connections.ask(question.READY_PATH))
        except AgentStale:
            return False
        return described["state"] == "live"

    async def leave_loop(self) -> None:
        """Close the connections of the running event loop."""
        await self._connections.close_of_this_loop()

    def start(self) -> bool:
        """As :meth:`run_in_loop`, for code without an event loop."""
        return self.describe()["state"] == "live"

    def stop(self) -> None:
        """Close all connections, from code without an event loop."""
        self._connections.close_blocking()

    # --- verdicts -------------------------------------------------------------------------------

    async def _look(self, asked: bytes) -> Verified:
        began = lease_clock()
        return self._verdict(await self._connections.ask(question.VERIFY_PATH, asked), began)

    def _look_blocking(self, asked: bytes) -> Verified:
        began = lease_clock()
        return self._verdict(self._connections.ask_blocking(question.VERIFY_PATH, asked), began)

    def _verdict(self, answer: Answer, began: int) -> Verified:
        """``began`` is on the lease's clock and before the sidecar looked; so its proof, which is
        good for ``valid_for`` from then on, is surely good that long after ``began``.
        """
        try:
            if answer.status == 200:
                accepted = question.decode_accepted(answer.body)
                return self._accepted(accepted, began)
            if answer.status in (401, 503):
                refused = question.decode_refused(answer.body)
                if answer.status == 401:
                    raise TokenRejected(refused.code)
                raise AgentStale(refused.code, refused.retry_after)
        except (DecodeError, RecursionError):
            pass
        raise AgentStale(UNREACHABLE)

    def _accepted(self, accepted: question.Accepted, began: int) -> Verified:
        verified = accepted.verified
        if self._audiences is not None:
            aud = verified.token.aud
            ours = self._audiences.get(verified.token.iss, frozenset())
            if ours.isdisjoint((aud,) if type(aud) is str else aud):
                raise TokenRejected("aud")
        # What was accepted without a proof is for this moment; nothing runs out.
        proven = not (verified.unproven or verified.would_deny)
        if proven and lease_clock() > began + int(accepted.valid_for * 1e9):
            raise AgentStale("lease_lapsed")
        return verified


def _question(
    token: str,
    max_staleness: float | None,
    on_stale: OnStale | None,
    certificate: PeerCertificate,
    *,
    may_ask: bool = True,
) -> bytes:
    """A text that is no Unicode cannot be asked about; no token has such characters either.

    Raises:
        TokenRejected: ``characters`` or ``size``.
    """
    if type(token) is not str:
        raise TokenRejected("characters")
    try:
        asked = question.encode(
            Question(
                token=token,
                max_staleness=_at_least_0(max_staleness),
                on_stale=on_stale,
                certificate=thumbprint(certificate)
                if isinstance(certificate, bytes)
                else certificate,
                may_ask=may_ask,
            )
        )
    except UnicodeEncodeError:
        raise TokenRejected("characters") from None
    if len(asked) > question.MAX_QUESTION_BYTES:
        raise TokenRejected("size")
    return asked


def _at_least_0(max_staleness: float | None) -> float | None:
    return None if max_staleness is None else max(0.0, max_staleness)


def _described(answer: Answer) -> dict[str, object]:
    """
    Raises:
        AgentStale: ``sidecar_unreachable``: it is no description.
    """
    try:
        described = strict_json.loads_object(answer.body)
    except EncodingRejected:
        described = {}
    if answer.status != 200 or "state" not in described:
        raise AgentStale(UNREACHABLE)
    return described
