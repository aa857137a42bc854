"""Keeps the ledger's copy of foreign issuers' keys up to date, in the background.

Agents fetch nothing: what they know of a provider comes through the ledger, so a token with an
unknown kid costs nobody a request, and a provider that is away, or answers with rubbish, changes
nothing. Only what differs from the ledger's copy is published.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

from redis.exceptions import RedisError

from tocsin_issuer.foreign.key_set import (
    ImportRejected,
    as_imported,
    our_thumbprints,
    read_key_set,
)
from tocsin_issuer.foreign.schedule import Progress, Schedule
from tocsin_issuer.store.outbox import Outbox
from tocsin_revocation_bus.core.replica import Replica
from tocsin_schemas.errors import RequestRejected
from tocsin_schemas.events import ImportedKey, IssuerKeysImported
from tocsin_schemas.issuer_profile import ForeignIssuer
from tocsin_schemas.jwk import thumbprint
from tocsin_schemas.keyset import Keyset

_POLL_S = 1.0  # how soon a change of the keyset, or of who is active, is noticed
_log = logging.getLogger("tocsin.foreign")


class KeyImporter:
    """Fetches for the issuers that the keyset in force names, while ``active`` says that this
    process appends to the ledger. ``fetch`` returns the body at a URI, or raises ImportRejected.
    ``clock`` says when the next fetch is due and never goes back; ``wall_clock`` dates what is
    shown. Both are in seconds.
    """

    def __init__(
        self,
        *,
        replica: Replica,
        outbox: Outbox,
        fetch: Callable[[str], Awaitable[bytes]],
        active: Callable[[], bool],
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        event_id: Callable[[], str],
        schedule: Schedule | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._replica = replica
        self._outbox = outbox
        self._fetch = fetch
        self._active = active
        self._clock = clock
        self._wall_clock = wall_clock
        self._event_id = event_id
        self._schedule = Schedule() if schedule is None else schedule
        self._jitter = jitter
        self._progress: dict[str, Progress] = {}
        self._forgotten_at: dict[str, float] = {}
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.turn()
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL_S):
                    await self._wake.wait()

    async def turn(self) -> None:
        """Fetch all that is due, side by side: nobody waits longer than one fetch may take."""
        keyset = self._replica.trust.keyset
        if keyset is None or not self._active():
            return
        self._take_over_names(keyset)
        now = self._clock()
        due = [iss for iss, progress in self._progress.items() if progress.next_at <= now]
        await asyncio.gather(*(self._import(iss, keyset) for iss in due))
        await self._forget_others(keyset)

    def refresh(self) -> None:
        """Fetch all again now, but none that was tried within the least pause.

        Raises:
            RequestRejected: ``not_the_sequencer`` (409): another process does the fetching.
        """
        if not self._active():
            raise RequestRejected("not_the_sequencer", "another process fetches now", 409)
        now = self._clock()
        for iss, progress in self._progress.items():
            self._progress[iss] = progress.wanted_soon(now, self._schedule)
        self._wake.set()

    def describe(self) -> list[dict[str, object]]:
        """Each issuer: where its keys come from, when they were fetched, and which are known.

        ``kid`` is the issuer's own name for a key, ``thumbprint`` what it is revoked by.
        """
        keyset = self._replica.trust.keyset
        return [
            self._describe(issuer) for issuer in (() if keyset is None else keyset.foreign_issuers)
        ]

    def _describe(self, issuer: ForeignIssuer) -> dict[str, object]:
        progress = self._progress.get(issuer.iss)
        revoked = self._replica.state.revoked_keys
        return {
            "iss": issuer.iss,
            "jwks_uri": issuer.jwks_uri,
            "keys": [
                {"kid": kid, "thumbprint": name, "revoked": name in revoked}
                for kid, name in self._thumbprints(issuer.iss)
            ],
            "fetched_at": None if progress is None else progress.fetched_at,
            "failure": None if progress is None else progress.failure,
            "skipped": [] if progress is None else list(progress.skipped),
        }

    def _thumbprints(self, iss: str) -> list[tuple[str, str]]:
        known = self._replica.state.imported.get(iss, {})
        return [(kid, thumbprint(key.jwk)) for kid, key in sorted(known.items())]

    # --- one issuer -----------------------------------------------------------------------------

    def _take_over_names(self, keyset: Keyset) -> None:
        """A new issuer, or one whose URI has changed, is due at once."""
        progress: dict[str, Progress] = {}
        for issuer in keyset.foreign_issuers:
            known = self._progress.get(issuer.iss)
            if known is None or known.jwks_uri != issuer.jwks_uri:
                known = Progress(issuer.iss, issuer.jwks_uri, next_at=self._clock())
            progress[issuer.iss] = known
        self._progress = progress

    async def _import(self, iss: str, keyset: Keyset) -> None:
        """A failure changes nothing but the date of the next fetch."""
        before = self._progress[iss]
        try:
            body = await self._fetch(before.jwks_uri)
            # On a thread: heartbeats go on between one key and the next.
            read = await asyncio.to_thread(read_key_set, body, our_thumbprints(keyset))
            await self._publish(iss, read.keys)
        except (ImportRejected, RedisError) as error:
            code = error.code if isinstance(error, ImportRejected) else "store_unavailable"
            _log.warning("keys of %s were not imported: %s", iss, code)
            now = self._clock()
            self._progress[iss] = before.failed(now, self._schedule, self._jitter(), code)
            return
        if read.skipped and read.skipped != before.skipped:
            _log.warning("keys of %s were left out: %s", iss, ", ".join(sorted(set(read.skipped))))
        self._progress[iss] = before.succeeded(
            self._clock(), self._schedule, self._jitter(), self._wall_clock(), read.skipped
        )

    async def _publish(self, iss: str, keys: tuple[ImportedKey, ...]) -> None:
        if keys == as_imported(self._replica.state.imported.get(iss, {})):
            return
        event = IssuerKeysImported(
            id=self._event_id(), reason="fetched", initiator="system", iss=iss, keys=keys
        )
        await self._outbox.emit(event)
        _log.info("%d keys of %s are new or changed", len(keys), iss)

    async def _forget_others(self, keyset: Keyset) -> None:
        """Keys of an issuer that the roots no longer name must not be there when it is named again,
        by which time its provider may have withdrawn them.
        """
        named = {issuer.iss for issuer in keyset.foreign_issuers}
        now = self._clock()
        for iss, keys in self._replica.state.imported.items():
            waits_for_ledger = now < self._forgotten_at.get(iss, 0.0) + self._schedule.least_pause_s
            if keys and iss not in named and not waits_for_ledger:
                self._forgotten_at[iss] = now
                with suppress(RedisError):  # a later turn finds it again
                    await self._publish(iss, ())
