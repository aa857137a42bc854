"""Which token key signs, and since when verifiers have known each: shared by all replicas."""

from redis.asyncio import Redis

from tocsin_issuer.store import names


class KeyChoice:
    """Two small values in Redis. Losing them costs a wait of B, never a check."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def active(self) -> str | None:
        """The key chosen last."""
        kid = await self._redis.get(names.ACTIVE_KEY)
        return None if kid is None else str(kid)

    async def choose(self, kid: str) -> None:
        """Make another key the one that signs."""
        await self._redis.set(names.ACTIVE_KEY, kid)

    async def acked_at(self) -> dict[str, float]:
        """When each key's first keyset got its PubAck, in seconds of UTC."""
        rows = await self._redis.hgetall(names.ACKED_KEYS)
        return {str(kid): float(at) for kid, at in rows.items()}

    async def note_acked(self, kid: str, at: float) -> None:
        """The first time stays."""
        await self._redis.hsetnx(names.ACKED_KEYS, kid, repr(at))
