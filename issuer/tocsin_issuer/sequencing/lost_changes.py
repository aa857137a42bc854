"""What an operator did to accounts, and Redis has lost: nobody gets in there until it is done anew.

The ledger says that an account was changed, and not to what. A password or a secret that had been
replaced would be good again, so the account is disabled, whichever of the changes it was.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from tocsin_issuer.endings import (
    CLIENT_DISABLED,
    CLIENT_KEYS_REPLACED,
    CLIENT_SECRET_ROTATED,
    PASSWORD_CHANGED,
    USER_DELETED,
    USER_DISABLED,
    Ending,
)
from tocsin_issuer.store.account_endings import AccountEndings
from tocsin_schemas.errors import RequestRejected
from tocsin_schemas.events import ClientRevokedBefore, Event, SubjectRevokedBefore

_TO_DO: Final[dict[Ending, str]] = {
    PASSWORD_CHANGED: "give it another password, then enable it",
    USER_DISABLED: "enable it where that had been done since",
    USER_DELETED: "delete it again",
    CLIENT_DISABLED: "enable it where that had been done since",
    CLIENT_SECRET_ROTATED: "rotate its secret, then enable it",
    CLIENT_KEYS_REPLACED: "replace its keys, then enable it",
}
_ENDING_OF: Final = {(one.kind, one.reason, one.initiator): one for one in _TO_DO}
_ACCOUNT_UNKNOWN: Final = "account_unknown"
_CUTOFF_AHEAD: Final = "cutoff_ahead"
_log = logging.getLogger("tocsin.sequencer")


class LostChanges:
    """For one reading of the ledger, of the records that Redis does not know."""

    def __init__(self, endings: AccountEndings) -> None:
        self._endings = endings
        self._closed: set[str] = set()

    async def close(self, event: Event, n: int) -> None:
        """Disable the account that the event of record ``n`` was about, if it was about one, and
        say what is left to do. What was got meanwhile with the old password or secret ends as well.
        """
        ending = _ENDING_OF.get((type(event), event.reason, event.initiator))
        if ending is None or not isinstance(event, SubjectRevokedBefore | ClientRevokedBefore):
            return
        account = event.sub if isinstance(event, SubjectRevokedBefore) else event.client_id
        if event.iss is not None or not await self._is_closed(event, account):
            return
        _log.error(
            "Redis has lost what record %d says of %s (%s): it is disabled; %s",
            *(n, account, ending.reason, _TO_DO[ending]),
        )

    async def _is_closed(self, event: Event, account: str) -> bool:
        """False where Redis knows of no such account: it was made after what Redis went back to."""
        disable = (
            self._endings.disable_user
            if isinstance(event, SubjectRevokedBefore)
            else self._endings.disable_client
        )
        while account not in self._closed:
            try:
                await disable(account)
                self._closed.add(account)
            except RequestRejected as refused:
                if refused.code == _ACCOUNT_UNKNOWN:
                    return False
                if refused.code != _CUTOFF_AHEAD:
                    raise
                await asyncio.sleep(1)
        return True
