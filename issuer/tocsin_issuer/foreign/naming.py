"""Having the roots name the foreign issuers that the operator has configured."""

from __future__ import annotations

import logging
from collections.abc import Callable

from tocsin_issuer.config import IssuerConfig
from tocsin_issuer.core.keyset_drafts import with_foreign_issuers
from tocsin_issuer.keys.ceremony import IssuerFolder
from tocsin_issuer.store.outbox import Outbox
from tocsin_schemas import keyset as keysets
from tocsin_schemas.events import KeysetPublished
from tocsin_schemas.keyset import Keyset

_log = logging.getLogger("tocsin.foreign")


async def offer_foreign_issuers(
    config: IssuerConfig,
    keyset: Keyset,
    *,
    folder: IssuerFolder,
    outbox: Outbox,
    now: int,
    event_id: Callable[[], str],
) -> str | None:
    """Publish the keyset that names them, where it is another one and the roots are at hand, as
    they are in development. Return the entry in the outbox, if there is one.

    Where the roots are offline the keyset in force counts, and the next ceremony decides.
    """
    if config.foreign_issuers is None:
        return None
    following = with_foreign_issuers(
        keyset,
        tuple(one.named for one in config.foreign_issuers),
        max_token_life_s=config.foreign_token_life_s,
        now=now,
    )
    if following is None:
        return None
    roots = folder.root_signers()
    if not roots:
        _log.warning("foreign_issuers differ from the keyset's: they count from a ceremony on")
        return None
    document = keysets.sign(following, roots)
    folder.keep_keyset(document)
    return await outbox.add(
        [
            KeysetPublished(
                id=event_id(), reason="foreign-issuers", initiator="admin", keyset=document
            )
        ]
    )
