"""All users and all clients, page by page, in the order of their ids."""

from dataclasses import dataclass
from typing import Any, Final

import orjson
from redis.asyncio import Redis

from tocsin_issuer.store import names

ALL_USERS: Final = "tocsin:all-users"
ALL_CLIENTS: Final = "tocsin:all-clients"


@dataclass(frozen=True, slots=True)
class ListedUser:
    """A user as an operator sees it."""

    sub: str
    username: str
    role: str | None
    perms: tuple[str, ...]
    disabled: bool


@dataclass(frozen=True, slots=True)
class ListedClient:
    """A client as an operator sees it."""

    client_id: str
    audiences: tuple[str, ...]
    scopes: tuple[str, ...]
    disabled: bool


class AccountList:
    """The next page begins after the last id of this one; it is the last where it is not full."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def users(self, limit: int, after: str = "") -> list[ListedUser]:
        """At most ``limit`` users whose ``sub`` comes after that one."""
        rows = await self._page(ALL_USERS, names.USER, limit, after)
        return [_user(sub, fields) for sub, fields in rows]

    async def clients(self, limit: int, after: str = "") -> list[ListedClient]:
        """At most ``limit`` clients whose id comes after that one."""
        rows = await self._page(ALL_CLIENTS, names.CLIENT, limit, after)
        return [_client(client_id, fields) for client_id, fields in rows]

    async def user(self, sub: str) -> ListedUser | None:
        """One user, disabled or not."""
        fields: Any = await self._redis.hgetall(names.USER + sub)
        return _user(sub, fields) if fields else None

    async def client(self, client_id: str) -> ListedClient | None:
        """One client, disabled or not."""
        fields: Any = await self._redis.hgetall(names.CLIENT + client_id)
        return _client(client_id, fields) if fields else None

    async def _page(
        self, index: str, prefix: str, limit: int, after: str
    ) -> list[tuple[str, dict[str, str]]]:
        start = f"({after}" if after else "-"
        ids: Any = await self._redis.zrangebylex(index, start, "+", start=0, num=limit)
        async with self._redis.pipeline(transaction=False) as pipe:
            for account_id in ids:
                pipe.hgetall(prefix + account_id)
            found = await pipe.execute()
        return [(one, fields) for one, fields in zip(ids, found, strict=True) if fields]


def _user(sub: str, fields: dict[str, str]) -> ListedUser:
    return ListedUser(
        sub,
        fields["username"],
        fields["role"] or None,
        tuple(orjson.loads(fields["perms"])),
        fields.get("disabled") == "1",
    )


def _client(client_id: str, fields: dict[str, str]) -> ListedClient:
    return ListedClient(
        client_id,
        tuple(orjson.loads(fields["audiences"])),
        tuple(orjson.loads(fields["scopes"])),
        fields.get("disabled") == "1",
    )
