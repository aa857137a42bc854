"""The issuer's side of the ledger: it follows it, and is a candidate to append to it."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from faststream.nats import NatsBroker
from redis.asyncio import Redis

from tocsin_issuer.bus.app import add_clock_sync, create_broker, heartbeat_of
from tocsin_issuer.bus.app import stop as stop_broker
from tocsin_issuer.core.sequencer import Sequencer
from tocsin_issuer.keys import draft
from tocsin_issuer.keys.ceremony import IssuerFolder
from tocsin_issuer.keys.ledger_key import LedgerKey
from tocsin_issuer.sequencing.loop import SequencerLoop
from tocsin_issuer.sequencing.opening import Opening
from tocsin_issuer.sequencing.restoring import Restoring
from tocsin_issuer.sequencing.store_guard import StoreGuard
from tocsin_issuer.service.background import Background
from tocsin_issuer.store.account_endings import AccountEndings
from tocsin_issuer.store.event_text import new_event_id
from tocsin_issuer.store.journal import Journal
from tocsin_issuer.store.outbox import Outbox
from tocsin_revocation_bus.clocks import wall_clock
from tocsin_revocation_bus.core.replica import AgentState, Replica
from tocsin_revocation_bus.jetstream.connection import BusAddress
from tocsin_revocation_bus.jetstream.connection import connect as connect_bus
from tocsin_revocation_bus.jetstream.follower import Follower
from tocsin_schemas.errors import ConfigurationError
from tocsin_schemas.events import KeysetPublished
from tocsin_schemas.keyset import Keyset
from tocsin_schemas.signed_document import SignedDocument

START_TIMEOUT_S: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerLedger:
    """``keyset`` is the one that the issuer started with: in force until the ledger has been read.
    ``outbox`` is what gets into the ledger.
    """

    keyset: Keyset
    replica: Replica
    follower: Follower
    outbox: Outbox
    store_guard: StoreGuard
    sequencing: SequencerLoop
    broker: NatsBroker

    async def wait_until_read(self, background: Background) -> None:
        """Return when the ledger has been read, or begun.

        Raises:
            ConfigurationError: ``ledger_unavailable``, or why the ledger is refused.
        """
        if await self.follower.wait_live(START_TIMEOUT_S):
            return
        background.raise_failure()
        status = self.follower.status()
        if status.state is AgentState.REFUSED:
            raise ConfigurationError(status.reason, f"the ledger is refused: {status.reason}")
        raise ConfigurationError("ledger_unavailable", f"no live ledger: {status.reason}")

    def keyset_in_force(self) -> Keyset:
        """As the ledger has it."""
        return self.replica.trust.keyset or self.keyset

    def bound_s(self) -> int:
        """B, in seconds, rounded up."""
        policy = self.replica.trust.policy or self.keyset.policy
        return -(-policy.bound_ms // 1000)


async def join_ledger(
    folder: IssuerFolder,
    document: SignedDocument,
    keyset: Keyset,
    *,
    bus: BusAddress,
    redis: Redis,
    outbox: Outbox,
    account_endings: AccountEndings,
    closing: AsyncExitStack,
    background: Background,
) -> IssuerLedger:
    """Connect, follow, tell agents the time, and be a candidate. ``document`` is the signed
    ``keyset``, with which an empty ledger begins.

    Raises:
        ConfigurationError: ``bus_unavailable``, or what is wrong with the ledger key.
    """
    folder.ledger_signer(keyset)  # a missing one must show at once
    pinned = draft.trust_in(folder.first_keyset()).pinned
    replica = Replica(keyset.iss, pinned)
    signer = LedgerKey(folder.keys, replica, keyset, wall_clock)
    follower = Follower(replica, bus, name="issuer")
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            client = await connect_bus(bus, name="tocsin sequencer")
    except TimeoutError:
        raise ConfigurationError("bus_unavailable", "NATS does not answer") from None
    closing.push_async_callback(client.close)
    await follower.start()
    closing.push_async_callback(follower.stop)
    journal, clock_id = Journal(redis), secrets.token_urlsafe(16)
    sequencer = Sequencer(keyset.iss, signer, replica, clock_id)
    broker = create_broker(bus)
    add_clock_sync(
        broker,
        issuer=keyset.iss,
        clock_id=clock_id,
        signer=signer,
        newest_heartbeat=heartbeat_of(sequencer),
    )
    await broker.start()
    closing.push_async_callback(stop_broker, broker)
    sequencing = SequencerLoop(
        sequencer=sequencer,
        replica=replica,
        follower=follower,
        client=client,
        outbox=outbox,
        journal=journal,
        restoring=Restoring(
            redis, client, outbox, account_endings, lambda: Replica(keyset.iss, pinned)
        ),
        opening=Opening(
            sequencer=sequencer,
            replica=replica,
            journal=journal,
            kept=folder.opened_term,
            event_id=new_event_id,
            wall_clock=wall_clock,
        ),
        policy=keyset.policy,
        genesis=[
            KeysetPublished(id=new_event_id(), reason="genesis", initiator="admin", keyset=document)
        ],
        event_id=new_event_id,
    )
    background.run(sequencing.run, "sequencer")
    store_guard = StoreGuard(redis, replica, follower.read_now)
    background.run(store_guard.watch, "store guard")
    return IssuerLedger(
        keyset=keyset,
        replica=replica,
        follower=follower,
        outbox=outbox,
        store_guard=store_guard,
        sequencing=sequencing,
        broker=broker,
    )
