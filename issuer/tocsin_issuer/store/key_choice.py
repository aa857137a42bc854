"""Which token key signs, and since when verifiers have known each: shared by all replicas."""

from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis

from tocsin_issuer.store import names, scripts

MAX_TURNS: Final = 1000


@dataclass(frozen=True, slots=True)
class Turn:
    """A move to another key: ``left`` is the one before (empty for the first), ``at`` in seconds of
    UTC by the clock of the replica that moved.
    """

    kid: str
    left: str
    at: float
    why: str


class KeyChoice:
    """Losing what it keeps costs a wait of B, never a check."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._choose = scripts.load(redis, "choose_key")

    async def active(self) -> str | None:
        """The key chosen last."""
        kid = await self._redis.get(names.ACTIVE_KEY)
        return None if kid is None else str(kid)

    async def choose(self, kid: str, *, instead_of: str | None, at: float, why: str) -> str:
        """Let ``kid`` sign, unless another replica has moved on from ``instead_of`` already: all
        replicas go through the schedule one step at a time. Returns the key that signs now.

        Choice and journal change in one step, so there is no place where a crash leaves half.
        """
        standing: Any = await self._choose(
            keys=[names.ACTIVE_KEY, names.KEY_TURNS],
            args=[instead_of or "", kid, repr(at), why, MAX_TURNS],
        )
        return str(standing)

    async def turns(self, limit: int = MAX_TURNS) -> list[Turn]:
        """The newest moves, the newest first."""
        rows: Any = await self._redis.xrevrange(names.KEY_TURNS, count=limit)
        return [
            Turn(fields["kid"], fields["left"], float(fields["at"]), fields["why"])
            for _, fields in rows
        ]

    async def acked_at(self) -> dict[str, float]:
        """When each key's first keyset got its PubAck, in seconds of UTC."""
        rows = await self._redis.hgetall(names.ACKED_KEYS)
        return {str(kid): float(at) for kid, at in rows.items()}

    async def note_acked(self, kid: str, at: float) -> None:
        """The first time stays."""
        await self._redis.hsetnx(names.ACKED_KEYS, kid, repr(at))
