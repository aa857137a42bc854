"""One issuer process, put together: keys, store, ledger, bus and listeners."""

from __future__ import annotations

import asyncio
import gc
import logging
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi import FastAPI
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tocsin_issuer.bus.app import add_clock_sync, create_broker, heartbeat_of
from tocsin_issuer.bus.app import stop as stop_broker
from tocsin_issuer.bus.asyncapi import describe
from tocsin_issuer.bus.command_service import CommandService
from tocsin_issuer.bus.commands import RevocationCommands
from tocsin_issuer.config import IssuerConfig
from tocsin_issuer.core.sequencer import Sequencer
from tocsin_issuer.exchange.policy_file import POLICY_NAME, PolicyFile
from tocsin_issuer.foreign.importer import KeyImporter
from tocsin_issuer.foreign.jwks_fetch import JwksFetch
from tocsin_issuer.foreign.known_issuers import KnownIssuers
from tocsin_issuer.foreign.naming import offer_foreign_issuers
from tocsin_issuer.foreign.schedule import Schedule
from tocsin_issuer.grpc.auth_servicer import ExchangeServicer
from tocsin_issuer.grpc.listener import GrpcListener
from tocsin_issuer.http.account_routes import account_router
from tocsin_issuer.http.asyncapi_routes import asyncapi_router
from tocsin_issuer.http.ceremony_routes import ceremony_router
from tocsin_issuer.http.connection import ConnectionLimits
from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.http.exchange_endpoint import token_exchange
from tocsin_issuer.http.exchange_policy_route import exchange_policy_router
from tocsin_issuer.http.internal import create_internal_app
from tocsin_issuer.http.issuer_routes import issuer_router
from tocsin_issuer.http.public import create_public_app
from tocsin_issuer.http.server import Listener
from tocsin_issuer.keys import draft
from tocsin_issuer.keys.ceremonies import Ceremonies
from tocsin_issuer.keys.ceremony import IssuerFolder
from tocsin_issuer.keys.key_manager import KeyManager
from tocsin_issuer.keys.key_turns import KeyTurns
from tocsin_issuer.keys.ledger_key import LedgerKey
from tocsin_issuer.keys.publication import Publication
from tocsin_issuer.minting import TokenMinter
from tocsin_issuer.own_tokens import OwnAuthority
from tocsin_issuer.revoking.live_counts import LiveCounts
from tocsin_issuer.revoking.revoker import Revoker
from tocsin_issuer.sequencing.loop import SequencerLoop
from tocsin_issuer.sequencing.restoring import Restoring
from tocsin_issuer.sequencing.store_guard import StoreGuard
from tocsin_issuer.settings import IssuerSettings
from tocsin_issuer.store.account_endings import AccountEndings
from tocsin_issuer.store.account_list import AccountList
from tocsin_issuer.store.audit_log import AuditLog
from tocsin_issuer.store.clients import ClientStore
from tocsin_issuer.store.command_records import CommandRecords
from tocsin_issuer.store.connection import connect as connect_redis
from tocsin_issuer.store.cutoffs import Cutoffs
from tocsin_issuer.store.event_text import new_event_id
from tocsin_issuer.store.journal import Journal
from tocsin_issuer.store.key_choice import KeyChoice
from tocsin_issuer.store.outbox import Outbox
from tocsin_issuer.store.passwords import Passwords
from tocsin_issuer.store.register import Register
from tocsin_issuer.store.revocations import Revocations
from tocsin_issuer.store.sessions import SessionStore
from tocsin_issuer.store.throttle import Throttle
from tocsin_issuer.store.users import UserStore
from tocsin_issuer.tls.watch import WatchedTls
from tocsin_revocation_bus.clocks import lease_clock, wall_clock
from tocsin_revocation_bus.core.replica import AgentState, Replica
from tocsin_revocation_bus.jetstream.connection import connect as connect_bus
from tocsin_revocation_bus.jetstream.follower import Follower
from tocsin_revocation_bus.tasks import end
from tocsin_schemas.errors import ConfigurationError, TocsinError
from tocsin_schemas.events import KeysetPublished
from tocsin_schemas.keyset import Keyset
from tocsin_schemas.signed_document import SignedDocument
from tocsin_verifier_agent.core.authority import LedgerAuthority
from tocsin_verifier_agent.core.confirmation import NOT_USED, Certificate
from tocsin_verifier_agent.core.token_verifier import TokenVerifier
from tocsin_verifier_agent.core.verified import Verified

START_TIMEOUT_S = 15.0
_REFRESH_S = 1.0
_log = logging.getLogger("tocsin.issuer")


@dataclass(frozen=True, slots=True)
class Accounts:
    """The built-in stores of users and clients."""

    users: UserStore
    clients: ClientStore


class IssuerService:
    """Start it, open it, and stop it; it brings back nothing by itself that ends for good."""

    def __init__(self, settings: IssuerSettings) -> None:
        self.config: IssuerConfig = settings.config
        self._settings = settings
        self._closing = AsyncExitStack()
        self._listeners: list[Listener | GrpcListener] = []
        self._failed: asyncio.Future[None] | None = None
        self.accounts: Accounts
        self.command_service: CommandService
        self.internal_app: FastAPI
        self.keyset: Keyset
        self.replica: Replica

    # --- life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect, follow the ledger, and wait until it has been read, or begun.

        Raises:
            ConfigurationError: with a code for what is missing or wrong.
        """
        self._failed = asyncio.get_running_loop().create_future()
        folder = IssuerFolder.open(self._settings.folder)
        self._closing.callback(folder.close)
        document = folder.newest_keyset()
        self.keyset = self._check_keyset(document)
        first = draft.trust_in(folder.first_keyset())
        self._pinned = first.pinned
        redis = await self._connect_redis()
        await self._join_ledger(folder, document, redis)
        keys, ceremonies = self._keys(folder, redis)
        await self._wait_for_ledger()
        await keys.refresh()
        await self._offer_foreign_issuers(folder)
        self._in_background(lambda: self._look_after(keys), "keys")
        importer = self._importer()
        self._in_background(importer.run, "foreign keys")
        context = self._listen(redis, keys, importer, ceremonies)
        await self._answer_commands(redis, context)

    def open(self) -> None:
        """Serve requests."""
        for listener in self._listeners:
            listener.start()

    async def run_until(self, stopped: asyncio.Event) -> None:
        """Wait until told to stop, or until a part of the service has failed for good.

        Raises:
            ConfigurationError, TocsinError: what the failed part said.
        """
        waiting = asyncio.create_task(stopped.wait())
        failed = self._failed
        if failed is None:
            raise RuntimeError("the service has not been started")
        gc.freeze()  # walking what stays, again and again, takes a quarter of a busy process
        try:
            both: list[asyncio.Future[Any]] = [waiting, failed]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if failed.done():
                failed.result()
        finally:
            await end(waiting)

    async def stop(self) -> None:
        """Let requests finish, then close everything, in the reverse order of the start."""
        await self._closing.aclose()

    # --- the parts ------------------------------------------------------------------------------

    def _check_keyset(self, document: SignedDocument) -> Keyset:
        """The newest keyset, by the roots that it names: a damaged file must show at once."""
        trust = draft.trust_in(document)
        if trust.keyset is None or trust.issuer != self.config.iss:
            raise ConfigurationError("keyset_malformed", "the keyset is another issuer's")
        if self.config.max_token_life_s > trust.keyset.policy.max_token_life_s:
            raise ConfigurationError(
                "policy_mismatch", "max_token_life_s exceeds what the signed policy allows"
            )
        return trust.keyset

    async def _connect_redis(self) -> Redis:
        redis = connect_redis(self._settings.redis_url)
        self._closing.push_async_callback(redis.aclose)
        try:
            await redis.ping()
        except RedisError as error:
            raise ConfigurationError(
                "redis_unavailable", f"Redis does not answer: {type(error).__name__}"
            ) from None
        return redis

    async def _join_ledger(
        self, folder: IssuerFolder, document: SignedDocument, redis: Redis
    ) -> None:
        bus = self._settings.bus
        folder.ledger_signer(self.keyset)  # a missing one must show at once
        self.replica = Replica(self.config.iss, self._pinned)
        signer = LedgerKey(folder.keys, self.replica, self.keyset, wall_clock)
        self._follower = Follower(self.replica, bus, name="issuer")
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                client = await connect_bus(bus, name="tocsin sequencer")
        except TimeoutError:
            raise ConfigurationError("bus_unavailable", "NATS does not answer") from None
        self._closing.push_async_callback(client.close)
        await self._follower.start()
        self._closing.push_async_callback(self._follower.stop)
        clock_id = secrets.token_urlsafe(16)
        sequencer = Sequencer(self.config.iss, signer, self.replica, clock_id)
        self._broker = broker = create_broker(bus)
        add_clock_sync(
            broker,
            issuer=self.config.iss,
            clock_id=clock_id,
            signer=signer,
            newest_heartbeat=heartbeat_of(sequencer),
        )
        await broker.start()
        self._closing.push_async_callback(stop_broker, broker)
        self._outbox = Outbox(redis)
        self._sequencing = SequencerLoop(
            sequencer=sequencer,
            replica=self.replica,
            follower=self._follower,
            client=client,
            outbox=self._outbox,
            journal=Journal(redis),
            restoring=Restoring(
                redis, client, self._outbox, lambda: Replica(self.config.iss, self._pinned)
            ),
            policy=self.keyset.policy,
            genesis=[
                KeysetPublished(
                    id=new_event_id(), reason="genesis", initiator="admin", keyset=document
                )
            ],
            event_id=new_event_id,
        )
        self._in_background(self._sequencing.run, "sequencer")

    async def _wait_for_ledger(self) -> None:
        if await self._follower.wait_live(START_TIMEOUT_S):
            return
        if self._failed is not None and self._failed.done():
            self._failed.result()
        status = self._follower.status()
        if status.state is AgentState.REFUSED:
            raise ConfigurationError(status.reason, f"the ledger is refused: {status.reason}")
        raise ConfigurationError("ledger_unavailable", f"no live ledger: {status.reason}")

    def _keys(self, folder: IssuerFolder, redis: Redis) -> tuple[KeyManager, Ceremonies]:
        wait_s = max(5.0, self.config.commit_wait_s)
        turns = KeyTurns(folder.keys, self.replica, KeyChoice(redis), wall_clock)
        publication = Publication(
            folder, self.replica, self._outbox, event_id=new_event_id, commit_wait_s=wait_s
        )
        keys = KeyManager(
            folder=folder,
            turns=turns,
            outbox=self._outbox,
            publication=publication,
            wall_clock=wall_clock,
            event_id=new_event_id,
            commit_wait_s=wait_s,
        )
        ceremonies = Ceremonies(
            folder=folder,
            replica=self.replica,
            turns=turns,
            publication=publication,
            wall_clock=wall_clock,
            max_token_life_s=self.config.max_token_life_s,
        )
        return keys, ceremonies

    async def _offer_foreign_issuers(self, folder: IssuerFolder) -> None:
        entry_id = await offer_foreign_issuers(
            self.config,
            self.replica.trust.keyset or self.keyset,
            folder=folder,
            outbox=self._outbox,
            now=int(wall_clock()),
            event_id=new_event_id,
        )
        if entry_id and not await self._outbox.committed(entry_id, START_TIMEOUT_S):
            raise ConfigurationError("ledger_unavailable", "the new keyset waits for the ledger")

    def _importer(self) -> KeyImporter:
        return KeyImporter(
            replica=self.replica,
            outbox=self._outbox,
            fetch=JwksFetch(),
            active=lambda: self._sequencing.active,
            clock=lambda: lease_clock() / 1e9,
            wall_clock=wall_clock,
            event_id=new_event_id,
            schedule=Schedule(self.config.foreign_refresh_s, self.config.foreign_least_pause_s),
        )

    def _listen(
        self, redis: Redis, keys: KeyManager, importer: KeyImporter, ceremonies: Ceremonies
    ) -> IssuerContext:
        config = self.config
        foreign = KnownIssuers(lambda: self.replica.trust.keyset)
        passwords = Passwords()
        users = UserStore(redis, passwords)
        clients = ClientStore(redis)
        guard = StoreGuard(redis, self.replica, self._follower.read_now)
        ours = frozenset({config.iss})
        self.accounts = Accounts(users, clients)
        audit_log = AuditLog(redis, max_entries=config.audit_log_entries)
        self._closing.push_async_callback(audit_log.aclose)
        revocations = Revocations(
            redis, self._outbox, max_token_life_s=config.max_token_life_s, foreign=foreign
        )
        cutoffs = Cutoffs(
            redis,
            self._outbox,
            max_token_life_s=config.max_token_life_s,
            session_absolute_s=config.session_absolute_s,
            foreign=foreign,
        )
        context = IssuerContext(
            config=config,
            users=users,
            throttle=Throttle(redis, config),
            clients=clients,
            sessions=SessionStore(
                redis,
                self._outbox,
                idle_s=config.session_idle_s,
                absolute_s=config.session_absolute_s,
                max_token_life_s=config.max_token_life_s,
                grace_s=config.refresh_grace_s,
                require_current=guard.require_current,
            ),
            revocations=revocations,
            minter=TokenMinter(keys, Register(redis, config.max_token_life_s), config),
            outbox=self._outbox,
            audit_log=audit_log,
            cutoffs=cutoffs,
            revoker=Revoker(revocations, cutoffs, self._bound_s),
            live_counts=LiveCounts(redis),
            keys=keys,
            verify_admin=_with_certificate(self._verifier(LedgerAuthority(self.replica), ours)),
            verify_any=partial(
                self._verifier(LedgerAuthority(self.replica)).verify, certificate=NOT_USED
            ),
            verify_own=_with_certificate(self._verifier(OwnAuthority(self.replica))),
            readiness=self._readiness,
            bound_s=self._bound_s,
        )
        policy = PolicyFile(self._settings.folder / POLICY_NAME)
        self.internal_app = internal = create_internal_app(context, policy.current)
        internal.include_router(exchange_policy_router(context, policy))
        internal.include_router(issuer_router(context, importer))
        internal.include_router(ceremony_router(context, ceremonies))
        endings = AccountEndings(
            redis,
            self._outbox,
            passwords,
            max_token_life_s=config.max_token_life_s,
            session_absolute_s=config.session_absolute_s,
        )
        internal.include_router(account_router(context, users, endings, AccountList(redis)))
        for app, host, port, tls in (
            (
                create_public_app(context),
                config.public_host,
                config.public_port,
                config.public_tls,
            ),
            (internal, config.internal_host, config.internal_port, config.internal_tls),
        ):
            self._will_open(Listener(app, host, port, ConnectionLimits.of(config), tls))
        if config.grpc_port is not None:
            servicer = ExchangeServicer(context, token_exchange(context, policy.current))
            files = config.internal_tls
            shown = None if files is None else WatchedTls(files).current
            self._will_open(
                GrpcListener(servicer, config, config.grpc_host, config.grpc_port, shown)
            )
        return context

    def _will_open(self, listener: Listener | GrpcListener) -> None:
        self._listeners.append(listener)
        self._closing.push_async_callback(listener.stop)

    async def _answer_commands(self, redis: Redis, context: IssuerContext) -> None:
        self.command_service = CommandService(
            iss=self.config.iss,
            verify=context.verify_admin,
            verify_own=context.verify_own,
            revoker=context.revoker,
            records=CommandRecords(redis, window_s=self.config.command_window_s),
            outbox=self._outbox,
            audit_log=context.audit_log,
            commit_wait_s=self.config.commit_wait_s,
            wall_clock=wall_clock,
        )
        commands = RevocationCommands(self._broker, self.command_service)
        self.internal_app.include_router(asyncapi_router(describe(self._broker)))
        await commands.start()
        self._closing.push_async_callback(commands.stop)

    def _verifier(
        self, authority: LedgerAuthority, audiences: frozenset[str] | None = None
    ) -> TokenVerifier:
        return TokenVerifier(
            authority,
            audiences={self.config.iss: audiences},
            lease_clock=lease_clock,
            wall_clock=wall_clock,
        )

    def _bound_s(self) -> int:
        policy = self.replica.trust.policy or self.keyset.policy
        return -(-policy.bound_ms // 1000)

    async def _readiness(self) -> bool:
        """Ready to log people in: there is a ledger. Being stale is no reason to be restarted."""
        return self.replica.head is not None

    # --- background -----------------------------------------------------------------------------

    def _in_background(self, work: Callable[[], Awaitable[None]], name: str) -> None:
        async def run() -> None:
            try:
                await work()
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                _log.error("%s failed: %s", name, getattr(error, "code", type(error).__name__))
                if self._failed is not None and not self._failed.done():
                    self._failed.set_exception(error)

        task = asyncio.create_task(run(), name=name)

        self._closing.push_async_callback(end, task)

    async def _look_after(self, keys: KeyManager) -> None:
        while True:
            await asyncio.sleep(_REFRESH_S)
            try:
                await keys.look_after()
            except (RedisError, TocsinError) as error:
                code = getattr(error, "code", type(error).__name__)
                _log.warning("keys are not looked after: %s", code)


def _with_certificate(verifier: TokenVerifier) -> Callable[[str, Certificate], Verified]:
    return lambda token, certificate: verifier.verify(token, certificate=certificate)
