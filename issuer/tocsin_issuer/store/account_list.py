"""All users and all clients, page by page, in the order of their ids."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

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
    token_endpoint_auth_method: str
    kids: tuple[str, ...]
    """Of its own keys, where it has any."""


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AccountPage(Generic[T]):
    """Accounts, by id; ``cursor`` is where the next page begins, '' where there is none. It may be
    shorter where some have just been deleted, though there is a next one.
    """

    accounts: tuple[T, ...]
    cursor: str


class AccountList:
    """Users and clients."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def users(self, limit: int, cursor: str = "") -> AccountPage[ListedUser]:
        """At most ``limit`` users, those behind the cursor."""
        return await self._page(ALL_USERS, names.USER, _user, limit, cursor)

    async def clients(self, limit: int, cursor: str = "") -> AccountPage[ListedClient]:
        """At most ``limit`` clients, those behind the cursor."""
        return await self._page(ALL_CLIENTS, names.CLIENT, _client, limit, cursor)

    async def user(self, sub: str) -> ListedUser | None:
        """One user, disabled or not."""
        fields: Any = await self._redis.hgetall(names.USER + sub)
        return _user(sub, fields) if fields else None

    async def client(self, client_id: str) -> ListedClient | None:
        """One client, disabled or not."""
        fields: Any = await self._redis.hgetall(names.CLIENT + client_id)
        return _client(client_id, fields) if fields else None

    async def _page(
        self,
        index: str,
        prefix: str,
        read: Callable[[str, dict[str, str]], T],
        limit: int,
        cursor: str,
    ) -> AccountPage[T]:
        start = f"({cursor}" if cursor else "-"
        ids: Any = await self._redis.zrangebylex(index, start, "+", start=0, num=limit)
        async with self._redis.pipeline(transaction=False) as pipe:
            for account_id in ids:
                pipe.hgetall(prefix + account_id)
            found = await pipe.execute()
        accounts = tuple(
            read(one, fields) for one, fields in zip(ids, found, strict=True) if fields
        )
        return AccountPage(accounts, ids[-1] if len(ids) == limit else "")


def _user(sub: str, fields: dict[str, str]) -> ListedUser:
    return ListedUser(
        sub,
        fields["username"],
        fields["role"] or None,
        tuple(orjson.loads(fields["perms"])),
        fields.get("disabled") == "1",
    )


def _method(fields: dict[str, str]) -> str:
    """By its name in RFC 7591 section 2; a secret may be shown in either way."""
    if fields.get("jwks"):
        return "private_key_jwt"
    return "tls_client_auth" if fields.get("certificate") else "client_secret_basic"


def _client(client_id: str, fields: dict[str, str]) -> ListedClient:
    keys = orjson.loads(fields["jwks"])["keys"] if fields.get("jwks") else []
    return ListedClient(
        client_id,
        tuple(orjson.loads(fields["audiences"])),
        tuple(orjson.loads(fields["scopes"])),
        fields.get("disabled") == "1",
        _method(fields),
        tuple(key["kid"] for key in keys),
    )
