"""Confidential clients: services that ask for tokens in their own name (RFC 6749 section 4.4).

Their secrets are 256 random bits that we made, so one SHA-256 is as good as a slow hash.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from secrets import token_urlsafe
from typing import Any, Final

import orjson
from redis.asyncio import Redis

from tocsin_issuer.store import names, scripts
from tocsin_schemas.errors import RequestRejected

_SECRET_BYTES: Final = 32
_NOBODYS: Final = "0" * 64


@dataclass(frozen=True, slots=True)
class Client:
    """What a client may ask for."""

    client_id: str
    audiences: tuple[str, ...]
    scopes: tuple[str, ...]


class ClientStore:
    """Clients in Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._create = scripts.load(redis, "create_account")
        self._update = scripts.load(redis, "update_account")

    async def create(
        self, client_id: str, audiences: Sequence[str], scopes: Sequence[str] = ()
    ) -> str:
        """Create a client and return its secret, which is shown this once.

        Raises:
            RequestRejected: ``client_invalid`` or ``client_taken`` (409).
        """
        if not 0 < len(client_id) <= 255 or ":" in client_id or not client_id.isprintable():
            raise RequestRejected("client_invalid", "the client id is empty, too long or odd")
        if not audiences:
            raise RequestRejected("client_invalid", "a client needs an audience")
        secret = token_urlsafe(_SECRET_BYTES)
        fields = ["secret", _digest(secret), "audiences", _list(audiences), "scopes", _list(scopes)]
        if not await self._create(keys=[names.CLIENT + client_id], args=["", *fields]):
            raise RequestRejected("client_taken", "the client id is taken", status=409)
        return secret

    async def authenticate(self, client_id: str, secret: str) -> Client | None:
        """The client, unless it is unknown or disabled or the secret is another."""
        fields: Any = await self._redis.hgetall(names.CLIENT + client_id)
        same = compare_digest(fields.get("secret", _NOBODYS), _digest(secret))
        return _client(client_id, fields) if same else None

    async def find(self, client_id: str) -> Client | None:
        """The client, unless unknown or disabled."""
        return _client(client_id, await self._redis.hgetall(names.CLIENT + client_id))

    async def renew_secret(self, client_id: str) -> str:
        """Replace the secret at once and return the new one.

        Raises:
            RequestRejected: ``client_unknown`` (404).
        """
        secret = token_urlsafe(_SECRET_BYTES)
        await self._set(client_id, "secret", _digest(secret))
        return secret

    async def set_disabled(self, client_id: str, disabled: bool) -> None:
        """No token is minted for a disabled client. Follow it with a cutoff of the client.

        Raises:
            RequestRejected: ``client_unknown`` (404).
        """
        await self._set(client_id, "disabled", "1" if disabled else "0")

    async def _set(self, client_id: str, field: str, value: str) -> None:
        if not await self._update(keys=[names.CLIENT + client_id], args=[field, value]):
            raise RequestRejected("client_unknown", "there is no such client", status=404)


def _digest(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


def _list(values: Sequence[str]) -> str:
    return orjson.dumps(list(values)).decode()


def _client(client_id: str, fields: Any) -> Client | None:
    if not fields or fields.get("disabled") == "1":
        return None
    return Client(
        client_id, tuple(orjson.loads(fields["audiences"])), tuple(orjson.loads(fields["scopes"]))
    )
