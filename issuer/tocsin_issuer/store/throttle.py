"""How often somebody may fail to show who they are, and how long they wait then.

Failures are counted in scopes: of one account from one source, of one source, and of one account
from sources that it has not been entered from. Beyond its free ones a scope closes, each time for
twice as long. The last scope is why nobody can lock an account's owner out: guesses from all over
the world close it to the world, and not to the places that its owner uses.

A source is where an attempt comes from (:func:`tocsin_issuer.http.client_address.source_of`). Every
key has a time to live, and holds a digest in place of names and addresses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from secrets import token_urlsafe
from typing import Final

from redis.asyncio import Redis

from tocsin_issuer.config import IssuerConfig
from tocsin_issuer.store import names, scripts
from tocsin_schemas import base64url
from tocsin_schemas.errors import RequestRejected

_REMEMBERED: Final = 4
"""For how many of the longest pauses failures are remembered after the last one."""

_KNOWN_S: Final = 30 * 24 * 3600
"""For how long a source is known to an account after a login from there."""


class Throttled(RequestRejected):
    """Too many failures (429). ``retry_after`` is in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("too_many_attempts", "too many failed attempts; repeat later", status=429)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Attempt:
    """One login under way, which counts as failed until it is known to be none."""

    id: str
    keys: Sequence[str]


class Throttle:
    """Failures in Redis, so that all replicas count together."""

    def __init__(self, redis: Redis, config: IssuerConfig) -> None:
        longest_s = config.login_longest_lock_s
        self._pauses = [config.login_lock_s, longest_s, _REMEMBERED * longest_s]
        self._free_of_source = config.login_address_failures
        self._free_of_login = [
            config.login_failures,
            config.login_address_failures,
            config.login_account_failures,
        ]
        self._count = scripts.load(redis, "count_attempt")
        self._forgive = scripts.load(redis, "forgive_attempt")

    async def begin_login(self, name: str, source: str) -> Attempt:
        """Count a login before its password is looked at. ``name`` is in its normal form; one that
        nobody has counts as any other.

        Raises:
            Throttled: nothing was counted.
        """
        attempt = Attempt(
            token_urlsafe(8),
            (
                _key(names.THROTTLE, "login", name, source),
                _key(names.THROTTLE, "login from", source),
                _key(names.THROTTLE, "login of", name),
                _key(names.KNOWN_SOURCE, name, source),
            ),
        )
        await self._begin(attempt, self._free_of_login)
        return attempt

    async def succeeded(self, attempt: Attempt) -> None:
        """It was the account's owner: this source is known to the account from now on."""
        await self._forgive(keys=attempt.keys, args=[attempt.id, _KNOWN_S])

    async def withdraw(self, attempt: Attempt) -> None:
        """Nobody has looked at the password."""
        await self._forgive(keys=attempt.keys, args=[attempt.id, 0])

    async def client_failed(self, source: str) -> None:
        """Count a client that did not show who it is. A good secret or assertion is never counted
        and never refused: nobody guesses one, so a lock would only do harm.

        Raises:
            Throttled: nothing was counted.
        """
        # Nobody sets the second key: a source is known to accounts, never to clients.
        keys = (_key(names.THROTTLE, "client from", source), _key(names.KNOWN_SOURCE, source))
        await self._begin(Attempt(token_urlsafe(8), keys), [self._free_of_source])

    async def _begin(self, attempt: Attempt, free: Sequence[int]) -> None:
        wait_s = await self._count(keys=attempt.keys, args=[attempt.id, *self._pauses, *free])
        if wait_s:
            raise Throttled(int(wait_s))


def _key(prefix: str, *parts: str) -> str:
    return prefix + base64url.encode(sha256("\0".join(parts).encode()).digest())
