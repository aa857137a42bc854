"""How many live sessions, clients and tokens a revocation would hit. Nothing is changed.

A token is live that is in the register, has not expired, is not revoked by name, and whose session,
if it has one, is alive. One without a session, under an earlier cutoff of its client or of
everything, counts until it expires: its ``iat`` is not looked at.

What an index leads to is counted exactly. No index leads from a client, or from everything, to its
tokens, since minting would have to pay for it. So the keys are walked in small steps, and no more
than a sample of them where there are many: the order of the walk is that of their hashes.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal

from redis.asyncio import Redis

from tocsin_issuer.revoking.target import Target
from tocsin_issuer.store import names
from tocsin_issuer.store.own_sessions import OPENED_IN, SESSIONS_OF, still_open
from tocsin_issuer.store.register import BEYOND_S, Owner
from tocsin_schemas.claims import EXP_LEEWAY_S

_STEP: Final = 500
_MAX_SESSIONS: Final = 20_000
MAX_SAMPLE: Final = 100_000
"""Keys that one walk looks at."""

Certainty = Literal["exact", "at_least", "about", "unknown"]


@dataclass(frozen=True, slots=True)
class Count:
    """A number, and how it is meant; None and ``unknown`` where we hold nothing of the kind."""

    number: int | None
    certainty: Certainty = "exact"


@dataclass(frozen=True, slots=True)
class Impact:
    """What would be hit. ``clients`` are those that hold the tokens, or opened the sessions."""

    sessions: Count
    clients: Count
    tokens: Count

    def members(self) -> dict[str, Any]:
        """As JSON members."""
        return asdict(self)


_UNKNOWN: Final = Impact(*[Count(None, "unknown")] * 3)


@dataclass(slots=True)
class _Tally:
    sessions: int = 0
    tokens: int = 0
    clients: set[str] = field(default_factory=set)

    def impact(self, certainty: Certainty = "exact", factor: float = 1.0) -> Impact:
        """``factor`` is how many times the sample goes into the whole."""
        return Impact(
            Count(round(self.sessions * factor), certainty),
            Count(len(self.clients), "at_least" if factor > 1 else certainty),
            Count(round(self.tokens * factor), certainty),
        )


class LiveCounts:
    """One walk over all keys at a time: further ones wait."""

    def __init__(self, redis: Redis, *, max_sample: int = MAX_SAMPLE) -> None:
        self._redis = redis
        self._max_sample = max_sample
        self._walking = asyncio.Lock()

    async def of(self, target: Target) -> Impact:
        """What revoking that would hit now."""
        if target.iss is not None:
            return _UNKNOWN
        match target.by:
            case "token":
                return await self._of_token(target.name)
            case "session":
                tally = _Tally()
                await self._add_sessions(tally, [names.SESSION + target.name])
                return tally.impact()
            case "subject":
                return await self._of_subject(target.name)
            case "client":
                return await self._of_client(target.name)
            case "all":
                return await self._walk()
            case "key":
                return _UNKNOWN

    async def _of_token(self, jti: str) -> Impact:
        """Those of which it is the origin are hit as well; which they are stands in them alone."""
        tally = _Tally()
        await self._add_tokens(tally, [jti])
        return replace(tally.impact(), tokens=Count(tally.tokens, "at_least"))

    async def _of_subject(self, sub: str) -> Impact:
        """A client's own tokens have its id as their subject, and no session."""
        index = SESSIONS_OF + sub
        tally = _Tally()
        for start in range(0, _MAX_SESSIONS, _STEP):
            keys: Any = await self._redis.zrange(index, start, start + _STEP - 1)
            await self._add_sessions(tally, keys)
            if len(keys) < _STEP:
                break
        else:
            return tally.impact("at_least")
        if not await self._redis.exists(names.CLIENT + sub):
            return tally.impact()
        own = await self._walk(lambda owner: owner == Owner("", sub))
        clients = len(tally.clients | ({sub} if own.tokens.number else set()))
        tokens = tally.tokens + (own.tokens.number or 0)
        return Impact(Count(tally.sessions), Count(clients), Count(tokens, "about"))

    async def _of_client(self, client_id: str) -> Impact:
        """Tokens in which it acted before another client did are hit as well, and not counted."""
        return await self._walk(lambda owner: owner.client_id == client_id)

    async def _walk(self, counted: Callable[[Owner], bool] = lambda _: True) -> Impact:
        async with self._walking:
            tally, looked, cursor = _Tally(), 0, 0
            while True:
                answer: Any = await self._redis.scan(cursor, count=_STEP)
                cursor, keys = answer
                looked += len(keys)
                await self._add_sessions(tally, _under(names.SESSION, keys), counted, tokens=False)
                jtis = [key.removeprefix(names.REGISTER) for key in _under(names.REGISTER, keys)]
                await self._add_tokens(tally, jtis, counted)
                if cursor == 0:
                    return tally.impact("about")
                if looked >= self._max_sample:
                    return tally.impact("about", max(1.0, await self._redis.dbsize() / looked))

    async def _add_sessions(
        self,
        tally: _Tally,
        keys: Sequence[str],
        counted: Callable[[Owner], bool] = lambda _: True,
        tokens: bool = True,
    ) -> None:
        """Count those that are alive, and with ``tokens`` what their indexes lead to."""
        alive = {
            key: client_id
            for key, client_id in (await self._alive(keys)).items()
            if counted(Owner(_sid(key), client_id))
        }
        tally.sessions += len(alive)
        tally.clients.update(alive.values())
        if not tokens or not alive:
            return
        async with self._redis.pipeline(transaction=False) as pipe:
            for key in alive:
                pipe.zrange(names.SESSION_TOKENS + _sid(key), 0, -1)
            found = await pipe.execute()
        jtis = [jti for of_session in found for jti in of_session]
        for start in range(0, len(jtis), _STEP):
            await self._add_tokens(tally, jtis[start : start + _STEP])

    async def _add_tokens(
        self, tally: _Tally, jtis: Sequence[str], counted: Callable[[Owner], bool] = lambda _: True
    ) -> None:
        """Count those that are live."""
        if not jtis:
            return
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.mget([names.REGISTER + jti for jti in jtis])
            pipe.mget([names.DENIED + jti for jti in jtis])
            for jti in jtis:
                pipe.expiretime(names.REGISTER + jti)
            time, owners, denied, *ends = await pipe.execute()
        live_from = time[0] + BEYOND_S - EXP_LEEWAY_S
        live = [
            Owner.parse(owner)
            for owner, revoked, end in zip(owners, denied, ends, strict=True)
            if owner is not None and revoked is None and end > live_from
        ]
        live = [owner for owner in live if counted(owner)]
        sessions = await self._alive({names.SESSION + one.sid for one in live if one.sid})
        hit = [one for one in live if not one.sid or names.SESSION + one.sid in sessions]
        tally.tokens += len(hit)
        tally.clients.update(one.client_id for one in hit)

    async def _alive(self, keys: Iterable[str]) -> dict[str, str]:
        """Of these sessions the ones that have not ended, with the client of each."""
        keys = list(keys)
        if not keys:
            return {}
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.get(names.EPOCH_OF_ALL)
            for key in keys:
                pipe.hmget(key, "sub", "client_id", *OPENED_IN)
            of_all, *found = await pipe.execute()
        there = {key: row for key, row in zip(keys, found, strict=True) if row[0] is not None}
        if not there:
            return {}
        async with self._redis.pipeline(transaction=False) as pipe:
            for sub, client_id, *_ in there.values():
                pipe.mget(names.EPOCH_OF_SUBJECT + sub, names.EPOCH_OF_CLIENT + client_id)
            epochs = await pipe.execute()
        return {
            key: row[1]
            for (key, row), standing in zip(there.items(), epochs, strict=True)
            if still_open((of_all, *standing), row[2:])
        }


def _under(prefix: str, keys: Iterable[str]) -> list[str]:
    return [key for key in keys if key.startswith(prefix)]


def _sid(key: str) -> str:
    return key.removeprefix(names.SESSION)
