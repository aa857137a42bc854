"""Whether Redis still has every refresh that anybody was answered.

A refresh leaves nothing in the ledger. In a Redis that has lost it, the token that it used up is
good again, and the one that it gave out is not: then every family ends, and everybody logs in anew.
Access tokens stay good.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from redis.asyncio import Redis

from tocsin_issuer.store import names, scripts
from tocsin_issuer.store.event_text import new_event_id

LOST: Final = "lost"
PROMOTED: Final = "promoted"


class Look(NamedTuple):
    """``server`` is another text after each start of the server, and for each server. ``why`` says
    why every family has just been ended: ``LOST`` or ``PROMOTED``; '' where none was.
    """

    server: str
    refreshes: int
    why: str


class Lineage:
    """All refreshes are counted in Redis; whoever has seen a greater number than it has knows that
    it went back. A replica that was promoted may have lost what nobody has seen.
    """

    def __init__(self, redis: Redis, epoch: Callable[[], str] = new_event_id) -> None:
        self._redis = redis
        self._epoch = epoch
        self._look = scripts.load(redis, "look_back")

    async def look(self, seen: int) -> Look:
        """Look at the server, and end every family where it may have lost a refresh. ``seen`` is
        how many of them there must have been.
        """
        answer: Any = await self._look(
            keys=[names.REFRESHES, names.PRIMARY, names.EPOCH_OF_ALL], args=[seen, self._epoch()]
        )
        return Look(*answer)

    async def end_all_families(self) -> None:
        """Everybody logs in anew: of a refresh token that is good here nobody knows whether it has
        been used, or its session ended, in what was lost. Access tokens stay good.
        """
        await self._redis.set(names.EPOCH_OF_ALL, self._epoch())
