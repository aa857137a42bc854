"""Password hashing: argon2id, in threads, and never less than one hash for a login."""

import asyncio
import secrets
from collections.abc import Callable
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from tocsin_schemas.errors import RequestRejected

MAX_PASSWORD_LENGTH: Final = 1024
_AT_ONCE: Final = 2
_MAX_WAITING: Final = 64

T = TypeVar("T")


class Passwords:
    """``at_once`` bounds memory (64 MiB each by default); more than 64 logins in the queue are
    refused, since the last of them would wait for seconds.
    """

    def __init__(self, hasher: PasswordHasher | None = None, *, at_once: int = _AT_ONCE) -> None:
        self._hasher = PasswordHasher() if hasher is None else hasher
        self._slots = asyncio.Semaphore(at_once)
        self._in_line = 0
        self._nobodys = self._hasher.hash(secrets.token_urlsafe())

    async def hash_new(self, password: str) -> str:
        """Hash a password that somebody chose.

        Raises:
            RequestRejected: ``password_invalid`` or ``busy`` (503).
        """
        if not 0 < len(password) <= MAX_PASSWORD_LENGTH:
            raise RequestRejected("password_invalid", "the password is empty or too long")
        return await self.hash(password)

    async def hash(self, password: str) -> str:
        """Hash a password.

        Raises:
            RequestRejected: ``busy`` (503).
        """
        return await self._in_thread(lambda: self._hasher.hash(password))

    async def verify(self, known: str | None, password: str) -> bool:
        """Whether the password belongs to the hash. None, of an unknown user, costs as much.

        Raises:
            RequestRejected: ``busy`` (503).
        """
        matches = await self._in_thread(lambda: self._matches(known or self._nobodys, password))
        return matches and known is not None

    def outdated(self, known: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(known)

    def _matches(self, known: str, password: str) -> bool:
        try:
            return self._hasher.verify(known, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._in_line >= _MAX_WAITING:
            raise RequestRejected("busy", "too many logins at once; repeat later", status=503)
        self._in_line += 1
        try:
            async with self._slots:
                return await asyncio.to_thread(work)
        finally:
            self._in_line -= 1
