"""A signed keyset on its way into the ledger, whatever dies in between."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from tocsin_issuer.keys.ceremony import IssuerFolder
from tocsin_issuer.store.outbox import Emission, Outbox
from tocsin_revocation_bus.core.replica import Replica
from tocsin_schemas import keyset as keysets
from tocsin_schemas.errors import DocumentRejected, RequestRejected
from tocsin_schemas.events import Initiator, KeysetPublished
from tocsin_schemas.signed_document import SignedDocument

_PAGE = 1000
_log = logging.getLogger("tocsin.keys")


class Publication:
    """*Signed* (kept in the folder), *offered* (in the outbox), *published* (in the ledger).

    The folder is the journal: a keyset there that is newer than the ledger's is offered again,
    unless it is on its way or waits in the outbox. Offered twice, it is published once: a version
    never repeats. But whoever waits for the offer that came second, waits in vain.
    """

    def __init__(
        self,
        folder: IssuerFolder,
        replica: Replica,
        outbox: Outbox,
        *,
        event_id: Callable[[], str],
        commit_wait_s: float,
    ) -> None:
        self._folder = folder
        self._replica = replica
        self._outbox = outbox
        self._event_id = event_id
        self._commit_wait_s = commit_wait_s
        self._unfinished = True  # until the folder has been looked at
        self._under_way = asyncio.Lock()

    @property
    def pending(self) -> bool:
        """Whether a keyset is on its way, or may be."""
        return self._unfinished

    async def publish(
        self, document: SignedDocument, reason: str, initiator: Initiator = "admin"
    ) -> Emission:
        """Publish a keyset that has been checked.

        Raises:
            RequestRejected: ``commit_pending`` (503): it is kept, and gets into the ledger later.
                Or (409) another was published meanwhile, and nothing has changed.
        """
        async with self._under_way:
            try:
                self._replica.trust.accept(document)
            except DocumentRejected as rejected:
                raise RequestRejected(rejected.code, str(rejected), 409) from None
            self._unfinished = True
            self._folder.keep_keyset(document)
            emission = await self._offer(document, reason, initiator)
            if not await self._outbox.committed(emission.entry_id, self._commit_wait_s):
                raise RequestRejected("commit_pending", "the keyset waits for the ledger", 503)
            self._unfinished = False
            return emission

    async def resume(self) -> None:
        """Go on with what was begun before a crash, or while the ledger was away."""
        if self._under_way.locked():
            return
        async with self._under_way:
            await self._resume()

    async def _resume(self) -> None:
        current = self._replica.trust.keyset
        if not self._unfinished or current is None:
            return
        kept = self._folder.newest_keyset()
        try:
            version = keysets.parse_unverified(kept).version
            if version > current.version:
                self._replica.trust.accept(kept)
        except DocumentRejected as rejected:
            _log.error("the keyset in %s is refused: %s", self._folder.root.path, rejected.code)
            version = 0
        if version <= current.version:
            self._unfinished = False
        elif not await self._waits(version):
            _log.warning("keyset %d was signed and is not in the ledger: offered again", version)
            await self._offer(kept, "resumed", "system")

    async def _offer(self, document: SignedDocument, reason: str, initiator: Initiator) -> Emission:
        return await self._outbox.emit(
            KeysetPublished(
                id=self._event_id(), reason=reason, initiator=initiator, keyset=document
            )
        )

    async def _waits(self, version: int) -> bool:
        """Whether a keyset of that version is in the outbox."""
        last: str | None = None
        while entries := await self._outbox.read(_PAGE, after=last):
            last = entries[-1].id
            for entry in entries:
                for event in entry.events:
                    if (
                        isinstance(event, KeysetPublished)
                        and keysets.parse_unverified(event.keyset).version >= version
                    ):
                        return True
        return False
