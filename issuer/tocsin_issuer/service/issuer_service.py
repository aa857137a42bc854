"""The life of one issuer process: started, opened, and stopped again."""

from __future__ import annotations

import asyncio
import gc
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

from tocsin_issuer.bus.asyncapi import describe
from tocsin_issuer.bus.command_service import CommandService
from tocsin_issuer.bus.commands import RevocationCommands
from tocsin_issuer.config import IssuerConfig
from tocsin_issuer.exchange.policy_file import POLICY_NAME, PolicyFile
from tocsin_issuer.grpc.listener import GrpcListener
from tocsin_issuer.http.asyncapi_routes import asyncapi_router
from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.http.server import Listener
from tocsin_issuer.keys import draft
from tocsin_issuer.keys.ceremony import IssuerFolder
from tocsin_issuer.metrics import IssuerMetrics
from tocsin_issuer.service.background import Background
from tocsin_issuer.service.context import issuer_context
from tocsin_issuer.service.keys import IssuerKeys, issuer_keys, name_foreign_issuers
from tocsin_issuer.service.ledger import IssuerLedger, join_ledger
from tocsin_issuer.service.listeners import (
    grpc_listener,
    internal_app,
    internal_listener,
    public_listener,
)
from tocsin_issuer.service.stores import Stores, connect_store, open_account_endings, open_stores
from tocsin_issuer.settings import IssuerSettings
from tocsin_issuer.store.clients import ClientStore
from tocsin_issuer.store.outbox import Outbox
from tocsin_issuer.store.passwords import Passwords
from tocsin_issuer.store.users import UserStore
from tocsin_revocation_bus.clocks import wall_clock
from tocsin_revocation_bus.core.replica import Replica
from tocsin_revocation_bus.tasks import end
from tocsin_schemas.errors import ConfigurationError
from tocsin_schemas.keyset import Keyset
from tocsin_schemas.signed_document import SignedDocument


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
        self._background: Background | None = None
        self.accounts: Accounts
        self.command_service: CommandService
        self.internal_app: FastAPI
        self.keyset: Keyset
        self.replica: Replica

    async def start(self) -> None:
        """Connect, follow the ledger, and wait until it has been read, or begun.

        Raises:
            ConfigurationError: with a code for what is missing or wrong.
        """
        background = self._background = Background(self._closing)
        settings, config = self._settings, self.config
        folder = IssuerFolder.open(settings.folder)
        self._closing.callback(folder.close)
        document = folder.newest_keyset()
        self.keyset = _checked_keyset(document, config)
        redis = await connect_store(settings.redis_url, self._closing)
        outbox, passwords = Outbox(redis), Passwords()
        account_endings = open_account_endings(config, redis, outbox, passwords)
        ledger = await join_ledger(
            folder,
            document,
            self.keyset,
            bus=settings.bus,
            redis=redis,
            outbox=outbox,
            account_endings=account_endings,
            closing=self._closing,
            background=background,
        )
        self.replica = ledger.replica
        keys = issuer_keys(config, folder, ledger, redis)
        await ledger.wait_until_read(background)
        await keys.manager.refresh()
        await name_foreign_issuers(config, folder, ledger)
        keys.look_after(background)
        stores = open_stores(config, redis, ledger, passwords, account_endings)
        self._closing.push_async_callback(stores.audit_log.aclose)
        self.accounts = Accounts(stores.users, stores.clients)
        context = issuer_context(config, redis, ledger, stores, keys.manager)
        metrics = IssuerMetrics(
            follower=ledger.follower,
            sequencing=ledger.sequencing,
            outbox=ledger.outbox,
            keys=keys.manager,
            sessions=stores.sessions,
            audit_log=stores.audit_log,
            requests=context.requests,
        )
        self._listen(context, stores, keys, metrics)
        await self._answer_commands(context, ledger, stores)

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
        background = self._background
        if background is None:
            raise RuntimeError("the service has not been started")
        gc.freeze()  # walking what stays, again and again, takes a quarter of a busy process
        try:
            both: list[asyncio.Future[Any]] = [waiting, background.failed]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            background.raise_failure()
        finally:
            await end(waiting)

    async def stop(self) -> None:
        """Let requests finish, then close everything, in the reverse order of the start."""
        await self._closing.aclose()

    def _listen(
        self, context: IssuerContext, stores: Stores, keys: IssuerKeys, metrics: IssuerMetrics
    ) -> None:
        policy = PolicyFile(self._settings.folder / POLICY_NAME)
        self.internal_app = internal_app(context, policy, stores, keys, metrics)
        self._will_open(public_listener(context))
        self._will_open(internal_listener(self.internal_app, self.config))
        if self.config.grpc_port is not None:
            self._will_open(grpc_listener(context, policy, self.config.grpc_port))

    def _will_open(self, listener: Listener | GrpcListener) -> None:
        self._listeners.append(listener)
        self._closing.push_async_callback(listener.stop)

    async def _answer_commands(
        self, context: IssuerContext, ledger: IssuerLedger, stores: Stores
    ) -> None:
        self.command_service = CommandService(
            iss=self.config.iss,
            verify=context.verify_admin,
            verify_own=context.verify_own,
            revoker=context.revoker,
            records=stores.command_records,
            outbox=ledger.outbox,
            audit_log=stores.audit_log,
            commit_wait_s=self.config.commit_wait_s,
            wall_clock=wall_clock,
        )
        commands = RevocationCommands(ledger.broker, self.command_service)
        self.internal_app.include_router(asyncapi_router(describe(ledger.broker)))
        await commands.start()
        self._closing.push_async_callback(commands.stop)


def _checked_keyset(document: SignedDocument, config: IssuerConfig) -> Keyset:
    """The newest keyset, by the roots that it names: a damaged file must show at once."""
    trust = draft.trust_in(document)
    if trust.keyset is None or trust.issuer != config.iss:
        raise ConfigurationError("keyset_malformed", "the keyset is another issuer's")
    if config.max_token_life_s > trust.keyset.policy.max_token_life_s:
        raise ConfigurationError(
            "policy_mismatch", "max_token_life_s exceeds what the signed policy allows"
        )
    return trust.keyset
