"""The verifier agent: a replica kept at the ledger's head, and a token verifier on top of it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from tocsin_revocation_bus.core.replica import Replica, Status
from tocsin_revocation_bus.core.trust import PinnedRoots
from tocsin_revocation_bus.jetstream.connection import BusAddress
from tocsin_revocation_bus.jetstream.follower import Follower
from tocsin_revocation_bus.tasks import end
from tocsin_schemas.errors import AgentStale, ConfigurationError, TokenRejected
from tocsin_verifier_agent import agent_file
from tocsin_verifier_agent.core.authority import LedgerAuthority
from tocsin_verifier_agent.core.confirmation import PeerCertificate
from tocsin_verifier_agent.core.leniency import OF_THE_LEDGER, Leniency, OnStale
from tocsin_verifier_agent.core.token_cache import TokenCache
from tocsin_verifier_agent.core.token_verifier import TokenVerifier
from tocsin_verifier_agent.core.verified import Verified
from tocsin_verifier_agent.feed import OF_THIS_MACHINE, Clocks, Feed
from tocsin_verifier_agent.meters import Meters
from tocsin_verifier_agent.watch import TokenWatch

if TYPE_CHECKING:
    from tocsin_verifier_agent.introspection import IntrospectionClient, Introspector

START_TIMEOUT_S = 5.0
WATCH_EVERY_S = 0.02
_log = logging.getLogger("tocsin.agent")


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """What an agent needs; :func:`VerifierAgent.from_file` reads it from a `.tocsin` file.

    ``foreign`` maps each foreign issuer to accept to our names in its tokens. With ``observe`` the
    ledger's verdicts are counted and not enforced.
    """

    issuer: str
    audiences: frozenset[str]
    pinned: PinnedRoots
    address: BusAddress
    foreign: Mapping[str, frozenset[str]] = field(default_factory=dict)
    max_lease_ms: int | None = None
    on_stale: OnStale = "reject"
    observe: bool = False
    introspection: IntrospectionClient | None = None
    name: str = "tocsin-agent"
    on_change: Callable[[Status], None] | None = field(default=None, compare=False)


class VerifierAgent:
    """Verifies tokens in microseconds; raises :class:`AgentStale` when it cannot prove itself.

    In an asynchronous service: ``async with agent: …``. In a synchronous one: ``agent.start()``
    runs it on a thread of its own until ``agent.stop()``. Either way ``verify`` is synchronous and
    may be called from any thread. Start it after a fork, never before.
    """

    def __init__(
        self,
        config: AgentConfig,
        *,
        feed: Callable[[Replica], Feed] | None = None,
        clocks: Clocks | None = None,
    ) -> None:
        """``feed`` and ``clocks`` go together: NATS, by default, and the machine's clocks."""
        self._config = config
        self._feed = self._over_nats if feed is None else feed
        self._clocks = OF_THIS_MACHINE if clocks is None else clocks
        self._replica = Replica(config.issuer, config.pinned, max_lease_ms=config.max_lease_ms)
        self._authority = LedgerAuthority(self._replica)
        self._verifier = TokenVerifier(
            self._authority,
            audiences={config.issuer: config.audiences, **config.foreign},
            lease_clock=self._clocks.lease,
            wall_clock=self._clocks.wall,
            quick_clock=self._clocks.quick,
            cache=TokenCache(threading.Lock()),
        )
        self._leniency = Leniency(
            self._verifier, self._authority, self._clocks.lease, self._clocks.wall
        )
        self.meters = Meters()
        self._introspector = _introspector(config, self.meters)
        self._watch = TokenWatch(self._clocks)
        self._follower: Feed | None = None
        self._watching: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None
        self._stop: Callable[[], object] | None = None
        self._alarmed: int | None = None
        self._alarm_lock = threading.Lock()

    @classmethod
    def from_file(cls, path: str | Path | None = None) -> VerifierAgent:
        """Build one from a `.tocsin` file, by default the one that ``TOCSIN_FILE`` names.

        Raises:
            ConfigurationError: the file is missing, open to others, or wrong; or
                ``sidecar_named``: it says that the host's sidecar verifies, which
                :func:`tocsin_verifier_agent.authenticator.from_file` asks.
        """
        where = agent_file.path_from_environment() if path is None else Path(path)
        parsed = agent_file.read(where)
        if parsed.sidecar is not None:
            raise ConfigurationError(
                "sidecar_named",
                f"{where}: the line sidecar leaves verifying to the host's sidecar; take"
                " authenticator.from_file, or a file without the line",
            )
        return cls.from_parsed(parsed, where.parent)

    @classmethod
    def from_parsed(cls, parsed: agent_file.AgentFile, folder: Path) -> VerifierAgent:
        """Build one from a file that has been read and stands in ``folder``, whatever its line
        ``sidecar`` says: for the sidecar itself.

        Raises:
            ConfigurationError: a file that it names is missing, open to others, or wrong.
        """
        return cls(
            AgentConfig(
                issuer=parsed.issuer,
                audiences=frozenset(parsed.audiences),
                pinned=parsed.pinned(),
                address=parsed.address(folder),
                foreign=parsed.foreign(),
                max_lease_ms=parsed.policy.max_lease_ms,
                on_stale=parsed.policy.on_stale,
                observe=parsed.policy.mode == "observe",
                introspection=_introspection(parsed, folder),
                name=f"agent of {parsed.audiences[0]}",
            )
        )

    # --- verifying ------------------------------------------------------------------------------

    def verify(
        self,
        token: str,
        max_staleness: float | None = None,
        on_stale: OnStale | None = None,
        certificate: PeerCertificate = None,
    ) -> Verified:
        """Accept a token, or say why not. No network call, no lock while nothing has changed.

        Args:
            token: the compact JWS from the Authorization header.
            max_staleness: seconds; the proof of being up to date must not be older. A route that
                moves money may demand less than the fleet's lease.
            on_stale: what to do without such a proof, in place of what the agent's file says. Where
                ``max_staleness`` is given and this is not, the answer is to refuse. To ask the
                issuer takes :meth:`authenticate`; here it refuses.
            certificate: what the token's bearer has shown in the TLS handshake, in DER, or its
                thumbprint; a token that is bound to one (RFC 8705) is accepted with no other.

        Raises:
            TokenRejected: it must not be accepted (401).
            AgentStale: the agent cannot say (503).
        """
        limit = None if max_staleness is None else max(0, int(max_staleness * 1e9))
        try:
            return self._verifier.verify(token, limit, certificate)
        except TokenRejected as rejected:
            verified = self._despite_a_rule(token, rejected.code, certificate)
            if verified is None:
                raise
        except AgentStale as stale:
            mode = self._on_stale(max_staleness, on_stale)
            verified = self._without_a_lease(token, stale.code, mode, certificate)
            if verified is None:
                raise
        return verified

    async def authenticate(
        self,
        token: str,
        max_staleness: float | None = None,
        on_stale: OnStale | None = None,
        certificate: PeerCertificate = None,
    ) -> Verified:
        """As :meth:`verify`, and asks the issuer where that is what to do without a proof."""
        try:
            return self.verify(token, max_staleness, on_stale, certificate)
        except AgentStale:
            mode = self._on_stale(max_staleness, on_stale)
            introspector = self._whom_to_ask(token, mode, certificate)
            if introspector is None:
                raise
        await introspector.ask(token)
        return self._if_the_issuer_says_yes(token, certificate)

    def authenticate_blocking(
        self,
        token: str,
        max_staleness: float | None = None,
        on_stale: OnStale | None = None,
        certificate: PeerCertificate = None,
    ) -> Verified:
        """As :meth:`authenticate`, for threads that run no event loop."""
        try:
            return self.verify(token, max_staleness, on_stale, certificate)
        except AgentStale:
            mode = self._on_stale(max_staleness, on_stale)
            introspector = self._whom_to_ask(token, mode, certificate)
            if introspector is None:
                raise
        introspector.ask_blocking(token)
        return self._if_the_issuer_says_yes(token, certificate)

    async def until_refused(
        self,
        token: str,
        max_staleness: float | None = None,
        on_stale: OnStale | None = None,
        certificate: PeerCertificate = None,
    ) -> TokenRejected | AgentStale:
        """Wait until a token that is good now no longer is, and return why: for connections that
        outlive a request. The issuer is never asked here.
        """
        return await self._watch.until_refused(
            lambda: self.verify(token, max_staleness, on_stale, certificate)
        )

    def _on_stale(self, max_staleness: float | None, on_stale: OnStale | None) -> OnStale:
        if on_stale is not None:
            return on_stale
        return self._config.on_stale if max_staleness is None else "reject"

    def _despite_a_rule(
        self, token: str, code: str, certificate: PeerCertificate
    ) -> Verified | None:
        if not self._config.observe or code not in OF_THE_LEDGER:
            self.meters.count("rejected", code)
            return None
        try:
            verified = self._leniency.observe(token, code, certificate)
        except TokenRejected as rejected:
            self.meters.count("rejected", rejected.code)
            raise
        self.meters.count("would_deny", code)
        return verified

    def _without_a_lease(
        self, token: str, reason: str, on_stale: OnStale, certificate: PeerCertificate
    ) -> Verified | None:
        """What may be accepted all the same; None where the answer is 503."""
        try:
            if on_stale == "accept":
                verified = self._leniency.accept(token, reason, certificate)
                self.meters.count("accepted_unproven", reason)
                self._alarm(reason)
                return verified
        except TokenRejected as rejected:
            verified_despite = self._despite_a_rule(token, rejected.code, certificate)
            if verified_despite is None:
                raise
            return verified_despite
        except AgentStale:
            pass
        try:
            if self._config.observe:
                verified = self._leniency.observe(token, "stale", certificate)
                self.meters.count("would_deny", "stale")
                return verified
        except TokenRejected as rejected:
            self.meters.count("rejected", rejected.code)
            raise
        except AgentStale:
            pass
        self.meters.count("stale", reason)
        return None

    def _whom_to_ask(
        self, token: str, on_stale: OnStale, certificate: PeerCertificate
    ) -> Introspector | None:
        """The issuer, about a token that might be good; None where it is not to be asked, as about
        a foreign issuer's: it knows its own tokens alone, and would say no.

        Raises:
            TokenRejected: nobody need be asked.
            AgentStale: the key is not known.
        """
        if on_stale != "introspect" or self._introspector is None:
            return None
        might_be_good = self._if_the_issuer_says_yes(token, certificate)
        return self._introspector if might_be_good.issuer == self._config.issuer else None

    def _if_the_issuer_says_yes(self, token: str, certificate: PeerCertificate) -> Verified:
        """Asked before, to spare the issuer; and after, since a rule may have come meanwhile."""
        try:
            return self._leniency.before_asking(token, certificate)
        except TokenRejected as rejected:
            self.meters.count("rejected", rejected.code)
            raise

    def _alarm(self, reason: str) -> None:
        """Once for each time that the lease lapses."""
        proven_at = self._replica.lease.proven_at
        with self._alarm_lock:
            known, self._alarmed = self._alarmed, proven_at
        if known != proven_at:
            _log.error("%s accepts tokens WITHOUT A LEASE: %s", self._config.name, reason)

    def verifier_for_others(self, max_entries: int) -> TokenVerifier:
        """A verifier of our issuer's tokens for whatever audience, with this agent's keys, rules
        and lease: for what the service sends, and never for what it is sent.
        """
        return TokenVerifier(
            self._authority,
            audiences={self._config.issuer: None},
            lease_clock=self._clocks.lease,
            wall_clock=self._clocks.wall,
            quick_clock=self._clocks.quick,
            cache=TokenCache(threading.Lock(), max_entries=max_entries),
        )

    # --- what it says of itself -----------------------------------------------------------------

    def status(self) -> Status:
        """The agent's state and its one reason."""
        if self._follower is not None:
            return self._follower.status()
        return self._replica.status(self._clocks.lease(), self._clocks.wall())

    def describe(self) -> dict[str, object]:
        """State, reason, mode, head, rules and meters as JSON members, for a readiness page or a
        person.

        Staleness does not make a service unready: it answers 503 by itself, and a restart would
        not help.
        """
        status, head = self.status(), self._replica.head
        return {
            "state": status.state.value,
            "reason": status.reason,
            "mode": "observe" if self._config.observe else "enforce",
            "on_stale": self._config.on_stale,
            "head": None if head is None else {"term": head.term, "n": head.n, "hash": head.hash},
            "state_hash": self._replica.state.hash(),
            "rules": self._replica.state.counts(),
            "meters": self.meters.snapshot(),
        }

    def lease_remaining(self) -> float:
        """Seconds until the lease lapses; 0 without one."""
        until = self._replica.vouched_until(None, self._clocks.wall())
        return 0.0 if until is None else max(0.0, (until - self._clocks.lease()) / 1e9)

    @property
    def config(self) -> AgentConfig:
        """What it was made with."""
        return self._config

    @property
    def clocks(self) -> Clocks:
        """The clocks that it goes by."""
        return self._clocks

    @property
    def replica(self) -> Replica:
        """The agent's copy of the ledger, to look at."""
        return self._replica

    # --- life, in an event loop -----------------------------------------------------------------

    async def __aenter__(self) -> VerifierAgent:
        await self.run_in_loop()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.leave_loop()

    async def run_in_loop(self, timeout: float = START_TIMEOUT_S) -> bool:
        """Start in the running event loop; return whether it is live within ``timeout`` seconds.

        It goes on trying in any case, and answers with :class:`AgentStale` meanwhile.
        """
        if self._follower is not None:
            raise RuntimeError("the agent is running already")
        if self._config.observe:
            _log.warning("%s OBSERVES: no revocation is enforced", self._config.name)
        if self._introspector is not None:
            await self._introspector.start()
        self._follower = self._feed(self._replica)
        self._watch.open()
        self._watching = asyncio.create_task(self._keep_watch(), name=f"{self._config.name}-watch")
        await self._follower.start()
        return await self._follower.wait_live(timeout)

    async def leave_loop(self) -> None:
        """Stop; the lease then lapses by itself."""
        if self._watching is not None:
            watching, self._watching = self._watching, None
            await end(watching)
        self._watch.close()
        if self._follower is not None:
            follower, self._follower = self._follower, None
            await follower.stop()
        if self._introspector is not None:
            await self._introspector.stop()

    def _over_nats(self, replica: Replica) -> Follower:
        config = self._config
        return Follower(replica, config.address, name=config.name, on_change=config.on_change)

    async def _keep_watch(self) -> None:
        seen = -1
        while True:
            await self._watch.wanted()
            generation = self._replica.state.generation
            self._watch.sweep(changed=generation != seen)
            seen = generation
            await asyncio.sleep(WATCH_EVERY_S)

    # --- life, with a thread of its own ---------------------------------------------------------

    def start(self, timeout: float = START_TIMEOUT_S) -> bool:
        """Start on a thread of its own; return whether it is live within ``timeout`` seconds."""
        if self._thread is not None:
            raise RuntimeError("the agent is running already")
        started: Future[bool] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._thread_main(started, timeout)),
            name=self._config.name,
            daemon=True,
        )
        self._thread.start()
        return started.result()

    async def _thread_main(self, started: Future[bool], timeout: float) -> None:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._stop = lambda: loop.call_soon_threadsafe(stopped.set)
        try:
            started.set_result(await self.run_in_loop(timeout))
            await stopped.wait()
        except BaseException as error:
            if not started.done():
                started.set_exception(error)
            raise
        finally:
            await self.leave_loop()

    def stop(self) -> None:
        """Stop the thread that :meth:`start` made."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if self._stop is not None:
            self._stop()
        thread.join()


def _introspection(parsed: agent_file.AgentFile, folder: Path) -> IntrospectionClient | None:
    section = parsed.introspection
    if section is None:
        return None
    from tocsin_verifier_agent.introspection import IntrospectionClient  # needs the extra `http`

    return IntrospectionClient(
        url=section.url,
        client_id=section.client_id,
        client_secret=parsed.introspection_secret(folder),
        tls=parsed.introspection_tls(folder),
    )


def _introspector(config: AgentConfig, meters: Meters) -> Introspector | None:
    if config.introspection is None:
        return None
    from tocsin_verifier_agent.introspection import Introspector

    return Introspector(config.introspection, meters)
