"""What the issuer keeps in Redis."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.exceptions import RedisError

from tocsin_issuer.config import IssuerConfig
from tocsin_issuer.foreign.known_issuers import KnownIssuers
from tocsin_issuer.service.ledger import IssuerLedger
from tocsin_issuer.store.account_endings import AccountEndings
from tocsin_issuer.store.account_list import AccountList
from tocsin_issuer.store.audit_log import AuditLog
from tocsin_issuer.store.clients import ClientStore
from tocsin_issuer.store.command_records import CommandRecords
from tocsin_issuer.store.connection import connect
from tocsin_issuer.store.cutoffs import Cutoffs
from tocsin_issuer.store.outbox import Outbox
from tocsin_issuer.store.passwords import Passwords
from tocsin_issuer.store.register import Register
from tocsin_issuer.store.revocations import Revocations
from tocsin_issuer.store.sessions import SessionStore
from tocsin_issuer.store.throttle import Throttle
from tocsin_issuer.store.users import UserStore
from tocsin_schemas.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """One store for each noun; they share the connection."""

    users: UserStore
    clients: ClientStore
    accounts: AccountList
    account_endings: AccountEndings
    throttle: Throttle
    sessions: SessionStore
    register: Register
    revocations: Revocations
    cutoffs: Cutoffs
    audit_log: AuditLog
    command_records: CommandRecords


async def connect_store(url: str, closing: AsyncExitStack) -> Redis:
    """The connection, on which the server has answered once; it ends with ``closing``.

    Raises:
        ConfigurationError: ``redis_unavailable``.
    """
    redis = connect(url)
    closing.push_async_callback(redis.aclose)
    try:
        await redis.ping()
    except RedisError as error:
        raise ConfigurationError(
            "redis_unavailable", f"Redis does not answer: {type(error).__name__}"
        ) from None
    return redis


def open_account_endings(
    config: IssuerConfig, redis: Redis, outbox: Outbox, passwords: Passwords
) -> AccountEndings:
    """What the sequencer needs as well, before anything else is open."""
    return AccountEndings(
        redis,
        outbox,
        passwords,
        max_token_life_s=config.max_token_life_s,
        session_absolute_s=config.session_absolute_s,
    )


def open_stores(
    config: IssuerConfig,
    redis: Redis,
    ledger: IssuerLedger,
    passwords: Passwords,
    account_endings: AccountEndings,
) -> Stores:
    """All of them. What ends something puts its event into the ledger's outbox."""
    foreign = KnownIssuers(lambda: ledger.replica.trust.keyset)
    return Stores(
        users=UserStore(redis, passwords),
        clients=ClientStore(redis),
        accounts=AccountList(redis),
        account_endings=account_endings,
        throttle=Throttle(redis, config),
        sessions=SessionStore(
            redis,
            ledger.outbox,
            idle_s=config.session_idle_s,
            absolute_s=config.session_absolute_s,
            max_token_life_s=config.max_token_life_s,
            grace_s=config.refresh_grace_s,
            require_current=ledger.store_guard.require_current,
        ),
        register=Register(redis, config.max_token_life_s),
        revocations=Revocations(
            redis, ledger.outbox, max_token_life_s=config.max_token_life_s, foreign=foreign
        ),
        cutoffs=Cutoffs(
            redis,
            ledger.outbox,
            max_token_life_s=config.max_token_life_s,
            session_absolute_s=config.session_absolute_s,
            foreign=foreign,
        ),
        audit_log=AuditLog(redis, max_entries=config.audit_log_entries),
        command_records=CommandRecords(redis, window_s=config.command_window_s),
    )
