"""Exchanged tokens for a service: from the issuer once, then from a cache that obeys the ledger.

Nothing is handed out that the service's own agent would refuse: neither what was exchanged for a
token that has died since, nor an exchanged token that a rule hits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final

from tocsin_schemas.errors import (
    AgentStale,
    ExchangeRefused,
    ExchangeUnavailable,
    TokenRejected,
)
from tocsin_verifier_agent import agent_file
from tocsin_verifier_agent.agent import VerifierAgent
from tocsin_verifier_agent.core.access_token import AccessToken
from tocsin_verifier_agent.core.claims_check import check_audience
from tocsin_verifier_agent.core.confirmation import NOT_USED, PeerCertificate
from tocsin_verifier_agent.core.leniency import OnStale
from tocsin_verifier_agent.core.verified import Verified
from tocsin_verifier_agent.exchange.cache import Entry, ExchangeCache, Key, key_of
from tocsin_verifier_agent.exchange.transport import (
    TIMEOUT_S,
    ExchangedToken,
    ExchangeTransport,
    Question,
)

MAX_ENTRIES: Final = 4096
MAX_UNDER_WAY: Final = 64
RENEW_BEFORE_S: Final = 30.0

Outcome = Entry | ExchangeRefused | ExchangeUnavailable


class ExchangeClient:
    """Exchanges tokens on the event loop that opens it.

    An exchanged token is kept until ``renew_before_s`` seconds before it expires, or until the last
    quarter of its life where that is later. Questions for the same that are asked at one time
    become one request; at most ``max_under_way`` are under way.

    Args:
        agent: the service's own, running.
        transport: the way to the issuer; it is opened and closed with this.
        max_entries: how many tokens are kept, of a few kilobytes each.
        max_under_way: requests.
        renew_before_s: seconds.
    """

    def __init__(
        self,
        agent: VerifierAgent,
        transport: ExchangeTransport,
        *,
        max_entries: int = MAX_ENTRIES,
        max_under_way: int = MAX_UNDER_WAY,
        renew_before_s: float = RENEW_BEFORE_S,
    ) -> None:
        self._agent = agent
        self._transport = transport
        self._clock = agent.clocks.lease
        self._others = agent.verifier_for_others(max_entries)
        self._cache = ExchangeCache(max_entries)
        self._max_under_way = max_under_way
        self._renew_before_s = renew_before_s
        self._under_way: dict[Key, asyncio.Task[Outcome]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    @classmethod
    def from_file(cls, agent: VerifierAgent, path: str | Path | None = None) -> ExchangeClient:
        """As the section ``exchange`` of a `.tocsin` file says, by default of the one that
        ``TOCSIN_FILE`` names. It needs the extra ``http`` or ``grpc``.

        Raises:
            ConfigurationError: the file, or one that it names, is missing or wrong.
        """
        where = agent_file.path_from_environment() if path is None else Path(path)
        parsed = agent_file.read(where)
        access = parsed.exchange_access(where.parent)
        if parsed.exchange is not None and parsed.exchange.transport == "grpc":
            from tocsin_verifier_agent.exchange.grpc import GrpcExchange

            return cls(agent, GrpcExchange(access))
        from tocsin_verifier_agent.exchange.http import HttpExchange

        return cls(agent, HttpExchange(access))

    # --- life -----------------------------------------------------------------------------------

    async def __aenter__(self) -> ExchangeClient:
        await self._transport.open()
        self._loop = asyncio.get_running_loop()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop = None
        under_way = list(self._under_way.values())
        for task in under_way:
            task.cancel()
        if under_way:
            await asyncio.wait(under_way)
        await self._transport.close()

    # --- exchanging -----------------------------------------------------------------------------

    async def exchange(
        self,
        subject_token: str,
        audience: str,
        scopes: Iterable[str] | None = None,
        *,
        max_staleness: float | None = None,
        on_stale: OnStale | None = None,
        certificate: PeerCertificate = None,
    ) -> ExchangedToken:
        """A token for ``audience``, in the name of whom the caller's token is about.

        Args:
            subject_token: the caller's token.
            audience: the one service that is to accept the new token.
            scopes: a part of what the caller's token and the issuer's policy allow; without it, all
                of that.
            max_staleness: seconds; this, ``on_stale`` and ``certificate`` as for
                :meth:`VerifierAgent.verify`.

        Raises:
            TokenRejected: the caller's token is not good (401).
            AgentStale: the agent cannot say whether it is (503).
            ExchangeRefused: the issuer says no; ``error`` is the RFC's word.
            ExchangeUnavailable: the issuer does not answer (503): ``exchange_failed``,
                ``exchange_unavailable``, ``exchange_answer``, ``exchange_busy`` or
                ``exchange_stopped``.
        """
        wanted = None if scopes is None else tuple(scopes)
        question = Question(subject_token, audience, wanted)
        presented = (subject_token, max_staleness, on_stale, certificate)
        subject = await self._agent.authenticate(*presented)
        key = key_of(question)
        kept = self._cache.get(key, self._clock())
        if kept is not None:
            try:
                self._check(kept, subject, audience, max_staleness)
            except (TokenRejected, AgentStale):  # the issuer has the last word
                self._cache.discard(key)
            else:
                return kept
        entry = await self._asked(key, question)
        # A rule may have come meanwhile.
        subject = await self._agent.authenticate(*presented)
        return self._accepted(key, entry, subject, audience, max_staleness)

    def _accepted(
        self,
        key: Key,
        entry: Entry,
        subject: Verified,
        audience: str,
        max_staleness: float | None,
    ) -> ExchangedToken:
        """What the issuer has just given; kept if the agent can vouch for it."""
        exchanged = entry.exchanged
        try:
            try:
                self._check(exchanged, subject, audience, max_staleness)
                self._cache.put(key, entry)
            except AgentStale:
                if not (subject.unproven or subject.would_deny):
                    raise
                # The agent goes on without a proof, so the issuer's word of just now will do.
                unproven = self._others.verify_unproven(
                    exchanged.token, obey_rules=True, certificate=NOT_USED
                )
                _check_claims(unproven.token, subject, audience)
        except TokenRejected:
            raise ExchangeUnavailable("exchange_answer") from None
        return exchanged

    def _check(
        self,
        exchanged: ExchangedToken,
        subject: Verified,
        audience: str,
        max_staleness: float | None,
    ) -> None:
        """Whether the agent would accept it if it were that audience's.

        Raises:
            TokenRejected: no.
            AgentStale: nobody can say.
        """
        limit = None if max_staleness is None else max(0, int(max_staleness * 1e9))
        verified = self._others.verify(exchanged.token, limit, NOT_USED)
        _check_claims(verified.token, subject, audience)

    # --- requests -------------------------------------------------------------------------------

    async def _asked(self, key: Key, question: Question) -> Entry:
        """From the request for the same that is under way, or from one of its own.

        Whoever waits gets an error of its own: one that many raise would gather their tracebacks.
        """
        if self._loop is not asyncio.get_running_loop():
            raise ExchangeUnavailable("exchange_stopped")
        task = self._under_way.get(key)
        if task is None:
            if len(self._under_way) >= self._max_under_way:
                raise ExchangeUnavailable("exchange_busy")
            task = asyncio.create_task(self._ask(question))
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        await asyncio.wait([task])  # whoever stops waiting does not stop the others
        if task.cancelled():
            raise ExchangeUnavailable("exchange_stopped")
        match task.result():
            case ExchangeRefused() as refused:
                raise ExchangeRefused(refused.error, refused.code)
            case ExchangeUnavailable() as unavailable:
                raise ExchangeUnavailable(unavailable.code, unavailable.retry_after)
            case entry:
                return entry

    async def _ask(self, question: Question) -> Outcome:
        began = self._clock()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                exchanged = await self._transport.exchange(question)
        except (ExchangeRefused, ExchangeUnavailable) as refusal:
            return refusal
        except TimeoutError:
            return ExchangeUnavailable("exchange_failed")
        life_s = exchanged.expires_in
        fresh_s = life_s - min(self._renew_before_s, life_s / 4)
        return Entry(exchanged, began + int(fresh_s * 1e9))


def _check_claims(token: AccessToken, subject: Verified, audience: str) -> None:
    """That it is what was asked for, and nobody else's answer."""
    check_audience(token, frozenset((audience,)))
    if token.sub != subject.subject:
        raise TokenRejected("sub")
