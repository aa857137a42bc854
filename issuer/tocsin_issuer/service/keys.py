"""The keys that are looked after: our own, and those of foreign issuers."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from tocsin_issuer.config import IssuerConfig
from tocsin_issuer.foreign.importer import KeyImporter
from tocsin_issuer.foreign.jwks_fetch import JwksFetch
from tocsin_issuer.foreign.naming import offer_foreign_issuers
from tocsin_issuer.foreign.schedule import Schedule
from tocsin_issuer.keys.ceremonies import Ceremonies
from tocsin_issuer.keys.ceremony import IssuerFolder
from tocsin_issuer.keys.key_manager import KeyManager
from tocsin_issuer.keys.key_turns import KeyTurns
from tocsin_issuer.keys.publication import Publication
from tocsin_issuer.service.background import Background
from tocsin_issuer.service.ledger import START_TIMEOUT_S, IssuerLedger
from tocsin_issuer.store.event_text import new_event_id
from tocsin_issuer.store.key_choice import KeyChoice
from tocsin_revocation_bus.clocks import lease_clock, wall_clock
from tocsin_schemas.errors import ConfigurationError, TocsinError

_REFRESH_S: Final = 1.0
_LEAST_COMMIT_WAIT_S: Final = 5.0
_log = logging.getLogger("tocsin.issuer")


@dataclass(frozen=True, slots=True)
class IssuerKeys:
    """``manager`` and ``ceremonies`` are for our own keys, ``importer`` for foreign issuers'."""

    manager: KeyManager
    ceremonies: Ceremonies
    importer: KeyImporter

    def look_after(self, background: Background) -> None:
        """Go through the schedule, and fetch foreign keys, from now on."""
        background.run(self._go_on, "keys")
        background.run(self.importer.run, "foreign keys")

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(_REFRESH_S)
            try:
                await self.manager.look_after()
            except (RedisError, TocsinError) as error:
                code = getattr(error, "code", type(error).__name__)
                _log.warning("keys are not looked after: %s", code)


def issuer_keys(
    config: IssuerConfig, folder: IssuerFolder, ledger: IssuerLedger, redis: Redis
) -> IssuerKeys:
    """As the ledger, the folder and the other replicas have them."""
    wait_s = max(_LEAST_COMMIT_WAIT_S, config.commit_wait_s)
    turns = KeyTurns(folder.keys, ledger.replica, KeyChoice(redis), wall_clock)
    publication = Publication(
        folder, ledger.replica, ledger.outbox, event_id=new_event_id, commit_wait_s=wait_s
    )
    manager = KeyManager(
        folder=folder,
        turns=turns,
        outbox=ledger.outbox,
        publication=publication,
        wall_clock=wall_clock,
        event_id=new_event_id,
        commit_wait_s=wait_s,
    )
    ceremonies = Ceremonies(
        folder=folder,
        replica=ledger.replica,
        turns=turns,
        publication=publication,
        wall_clock=wall_clock,
        max_token_life_s=config.max_token_life_s,
    )
    importer = KeyImporter(
        replica=ledger.replica,
        outbox=ledger.outbox,
        fetch=JwksFetch(),
        active=lambda: ledger.sequencing.active,
        clock=lambda: lease_clock() / 1e9,
        wall_clock=wall_clock,
        event_id=new_event_id,
        schedule=Schedule(config.foreign_refresh_s, config.foreign_least_pause_s),
    )
    return IssuerKeys(manager, ceremonies, importer)


async def name_foreign_issuers(
    config: IssuerConfig, folder: IssuerFolder, ledger: IssuerLedger
) -> None:
    """Publish a keyset that names those of the configuration, unless the one in force does.

    Raises:
        ConfigurationError: ``ledger_unavailable``, or why there can be no such keyset here.
    """
    entry_id = await offer_foreign_issuers(
        config,
        ledger.keyset_in_force(),
        folder=folder,
        outbox=ledger.outbox,
        now=int(wall_clock()),
        event_id=new_event_id,
    )
    if entry_id and not await ledger.outbox.committed(entry_id, START_TIMEOUT_S):
        raise ConfigurationError("ledger_unavailable", "the new keyset waits for the ledger")
