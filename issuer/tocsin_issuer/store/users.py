"""Who may log in: an interface, and the built-in store.

``sub`` is opaque and random: names stay out of tokens and out of the ledger, which nobody can edit.
Deleting a user here forgets the person.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from secrets import token_bytes
from typing import Any, Final, Protocol

import orjson
from redis.asyncio import Redis

from tocsin_issuer.store import names, scripts
from tocsin_issuer.store.account_list import ALL_USERS
from tocsin_issuer.store.passwords import Passwords
from tocsin_schemas import base64url
from tocsin_schemas.errors import RequestRejected

MAX_NAME_LENGTH: Final = 128
_USER_ID_PREFIX: Final = "u_"


def is_user_id(name: str) -> bool:
    """Whether it may be the ``sub`` of a user, whoever that is."""
    return name.startswith(_USER_ID_PREFIX)


@dataclass(frozen=True, slots=True)
class AuthenticatedUser:
    """Who it is, and what a token may say of them.

    ``epoch`` is the one that the subject's sessions had when the password was read (`''` for none):
    where it is another one by the time that a session is opened, what was shown is worth nothing
    any more. A directory that is not ours leaves it None.
    """

    sub: str
    role: str | None = None
    perms: tuple[str, ...] = ()
    epoch: str | None = field(default=None, compare=False)


class Authenticator(Protocol):
    """Where users come from: the built-in store, or a directory of the operator's."""

    async def authenticate(self, username: str, password: str) -> AuthenticatedUser | None:
        """The user, or None; None must take as long whatever its cause."""
        ...

    async def find(self, sub: str) -> AuthenticatedUser | None:
        """The user as of now, asked for at each refresh; None where they may not go on."""
        ...

    async def sub_of(self, username: str) -> str | None:
        """Whose name it is, whether they may log in or not: for the audit log alone."""
        ...


class UserStore:
    """Users in Redis."""

    def __init__(self, redis: Redis, passwords: Passwords) -> None:
        self._redis = redis
        self._passwords = passwords
        self._create = scripts.load(redis, "create_account")
        self._update = scripts.load(redis, "update_account")
        self._replace_hash = scripts.load(redis, "replace_hash")

    async def create(
        self, username: str, password: str, *, role: str | None = None, perms: Sequence[str] = ()
    ) -> str:
        """Create a user and return the ``sub``.

        Raises:
            RequestRejected: ``username_invalid``, ``password_invalid`` or ``username_taken`` (409).
        """
        name = normal_name(username)
        if not 0 < len(name) <= MAX_NAME_LENGTH or not name.isprintable():
            raise RequestRejected("username_invalid", "the user name is empty, too long or odd")
        sub = _USER_ID_PREFIX + base64url.encode(token_bytes(16))
        hashed = await self._passwords.hash_new(password)
        fields = ["username", name, "password", hashed, *_access(role, perms)]
        if not await self._create(
            keys=[names.USER + sub, ALL_USERS, names.USERNAME + name], args=[sub, *fields]
        ):
            raise RequestRejected("username_taken", "the user name is taken", status=409)
        return sub

    async def authenticate(self, username: str, password: str) -> AuthenticatedUser | None:
        """The user of that name and password. A disabled account, a wrong password and an unknown
        name all cost one hash and give None.
        """
        sub: Any = await self._redis.get(names.USERNAME + normal_name(username))
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hgetall(names.USER + (sub or ""))
            pipe.get(names.EPOCH_OF_SUBJECT + (sub or ""))
            fields, epoch = await pipe.execute()
        known = fields.get("password")
        if not await self._passwords.verify(known, password):
            return None
        user = _user(sub, fields, epoch or "")
        if user is not None and self._passwords.outdated(known):
            renewed = await self._passwords.hash(password)
            await self._replace_hash(keys=[names.USER + sub], args=[known, renewed])
        return user

    async def find(self, sub: str) -> AuthenticatedUser | None:
        """The user, unless unknown or disabled."""
        return _user(sub, await self._redis.hgetall(names.USER + sub))

    async def sub_of(self, username: str) -> str | None:
        """The ``sub`` behind a user name."""
        sub: Any = await self._redis.get(names.USERNAME + normal_name(username))
        return None if sub is None else str(sub)

    async def set_password(self, sub: str, password: str) -> None:
        """Change the password and nothing else: no session ends, and the ledger hears nothing.
        :class:`~tocsin_issuer.store.account_endings.AccountEndings` is what ends them.

        Raises:
            RequestRejected: ``password_invalid`` or ``user_unknown`` (404).
        """
        await self._set(sub, "password", await self._passwords.hash_new(password))

    async def set_access(self, sub: str, role: str | None, perms: Sequence[str]) -> None:
        """Change role and permissions: tokens show it from the next refresh on.

        Raises:
            RequestRejected: ``user_unknown`` (404).
        """
        await self._set(sub, *_access(role, perms))

    async def set_disabled(self, sub: str, disabled: bool) -> None:
        """Let the user log in again; or disable, with nothing told to the ledger, as for
        ``set_password``.

        Raises:
            RequestRejected: ``user_unknown`` (404).
        """
        await self._set(sub, "disabled", "1" if disabled else "0")

    async def delete(self, sub: str) -> None:
        """Forget the person, with nothing told to the ledger, as for ``set_password``."""
        name: Any = await self._redis.hget(names.USER + sub, "username")
        await self._redis.delete(names.USER + sub, names.USERNAME + (name or ""))
        await self._redis.zrem(ALL_USERS, sub)

    async def _set(self, sub: str, *fields: str) -> None:
        if not await self._update(keys=[names.USER + sub], args=fields):
            raise RequestRejected("user_unknown", "there is no such user", status=404)


def normal_name(username: str) -> str:
    """One name for what people take for one name."""
    return unicodedata.normalize("NFKC", username).casefold()


def _access(role: str | None, perms: Sequence[str]) -> list[str]:
    return ["role", role or "", "perms", orjson.dumps(list(perms)).decode()]


def _user(sub: str, fields: Any, epoch: str | None = None) -> AuthenticatedUser | None:
    if not fields or fields.get("disabled") == "1":
        return None
    perms = tuple(orjson.loads(fields["perms"]))
    return AuthenticatedUser(sub, fields["role"] or None, perms, epoch)
