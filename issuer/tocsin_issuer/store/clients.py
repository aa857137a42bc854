"""Confidential clients: services that ask for tokens in their own name (RFC 6749 section 4.4).

A client has one way to show who it is: a secret, assertions that it signs with keys of its own
(``private_key_jwt``), or a certificate that carries its name (``tls_client_auth``).
Secrets are 256 random bits that we made, so one SHA-256 is as good as a slow hash.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from hmac import compare_digest
from secrets import token_urlsafe
from typing import Any, Final

import orjson
from redis.asyncio import Redis

from tocsin_issuer.store import names, scripts
from tocsin_issuer.store.account_list import ALL_CLIENTS
from tocsin_issuer.store.refresh_token import RefreshToken
from tocsin_issuer.store.users import is_user_id
from tocsin_issuer.tls.certificate_name import CertificateName
from tocsin_schemas import jwk
from tocsin_schemas.errors import KeyRejected, RequestRejected
from tocsin_schemas.jwk import PublicKey

MAX_KEYS: Final = 8
_SECRET_BYTES: Final = 32
_GENERATION_BYTES: Final = 12
_NOBODYS: Final = "0" * 64
_USED_ASSERTION: Final = "tocsin:assertion:"
"""By client and jti; a client id holds no colon, so that no two of them run together."""


@dataclass(frozen=True, slots=True)
class Client:
    """What a client may ask for. ``bound_to`` is the thumbprint of the certificate that it has
    authenticated with, if it has: its tokens are bound to that one (RFC 8705 section 3).
    ``generation`` is that of its credentials when they were read: no token is minted for a client
    that has shown what has been replaced since.
    """

    client_id: str
    audiences: tuple[str, ...]
    scopes: tuple[str, ...]
    bound_to: str | None = None
    generation: str = field(default="", compare=False)


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
        secret = token_urlsafe(_SECRET_BYTES)
        await self._add(client_id, audiences, scopes, {"secret": _digest(secret)})
        return secret

    async def create_with_keys(
        self,
        client_id: str,
        audiences: Sequence[str],
        scopes: Sequence[str] = (),
        *,
        jwks: Mapping[str, Any],
    ) -> None:
        """Create a client that has no secret and signs assertions with one of these keys.

        Raises:
            RequestRejected: ``client_invalid``, ``client_taken`` (409) or ``client_keys``.
        """
        await self._add(client_id, audiences, scopes, {"secret": "", "jwks": checked_keys(jwks)})

    async def create_with_certificate(
        self,
        client_id: str,
        audiences: Sequence[str],
        scopes: Sequence[str] = (),
        *,
        name: CertificateName,
    ) -> None:
        """Create a client that has no secret and shows a certificate with this name.

        Raises:
            RequestRejected: ``client_invalid`` or ``client_taken`` (409).
        """
        await self._add(client_id, audiences, scopes, {"secret": "", "certificate": _text(name)})

    async def authenticate(self, client_id: str, secret: str) -> Client | None:
        """The client, unless it is unknown or disabled or the secret is another."""
        fields: Any = await self._redis.hgetall(names.CLIENT + client_id)
        same = compare_digest(fields.get("secret", _NOBODYS), _digest(secret))
        return _client(client_id, fields) if same else None

    async def find_with_keys(self, client_id: str) -> tuple[Client, Mapping[str, PublicKey]] | None:
        """The client and its keys by kid, unless it is unknown or disabled or has none."""
        fields: Any = await self._redis.hgetall(names.CLIENT + client_id)
        client = _client(client_id, fields)
        if client is None or not fields.get("jwks"):
            return None
        return client, jwk.from_jwks(orjson.loads(fields["jwks"])).keys

    async def find_with_certificate_name(
        self, client_id: str
    ) -> tuple[Client, CertificateName] | None:
        """The client and the name that its certificate must carry, unless it is unknown or disabled
        or shows none.
        """
        fields: Any = await self._redis.hgetall(names.CLIENT + client_id)
        client = _client(client_id, fields)
        if client is None or not fields.get("certificate"):
            return None
        kind, value = orjson.loads(fields["certificate"])
        return client, CertificateName(kind, value)

    async def use_assertion(self, client_id: str, jti: str, remembered_s: int) -> bool:
        """Whether this is the first use of an assertion; it is remembered for that many seconds.

        A command whose connection broke is sent again, and must then know its own first run.
        """
        ours = token_urlsafe(16)
        found: Any = await self._redis.set(
            f"{_USED_ASSERTION}{client_id}:{jti}", ours, nx=True, get=True, ex=max(1, remembered_s)
        )
        return found is None or found == ours

    async def find(self, client_id: str) -> Client | None:
        """The client, unless unknown or disabled."""
        return _client(client_id, await self._redis.hgetall(names.CLIENT + client_id))

    async def is_registered(self, client_id: str) -> bool:
        """Whether there is such a client, be it disabled."""
        return bool(await self._redis.exists(names.CLIENT + client_id))

    async def renew_secret(self, client_id: str) -> str:
        """Replace whatever the client shows by a new secret at once and return it.

        Raises:
            RequestRejected: ``client_unknown`` (404).
        """
        secret = token_urlsafe(_SECRET_BYTES)
        await self._set(client_id, *credentials(secret=_digest(secret)))
        return secret

    async def set_keys(self, client_id: str, jwks: Mapping[str, Any]) -> None:
        """Replace whatever the client shows by these keys at once.

        Raises:
            RequestRejected: ``client_unknown`` (404) or ``client_keys``.
        """
        await self._set(client_id, *credentials(jwks=checked_keys(jwks)))

    async def set_disabled(self, client_id: str, disabled: bool) -> None:
        """No token is minted for a disabled client. Follow it with a cutoff of the client.

        Raises:
            RequestRejected: ``client_unknown`` (404).
        """
        await self._set(client_id, "disabled", "1" if disabled else "0")

    async def session_of_refresh_token(self, text: str) -> tuple[str, str] | None:
        """The session of a refresh token of any generation, and the client that it belongs to.

        None where there is no such session, or where the family's part of the token is not its: a
        sid stands in every access token, and alone it shows nothing.
        """
        try:
            token = RefreshToken.parse(text)
        except RequestRejected:
            return None
        found: Any = await self._redis.hmget(names.SESSION + token.sid, ["family", "client_id"])
        family, client_id = found
        if family is None or not compare_digest(str(family), token.family_digest):
            return None
        return token.sid, str(client_id)

    async def _add(
        self,
        client_id: str,
        audiences: Sequence[str],
        scopes: Sequence[str],
        credentials: Mapping[str, str],
    ) -> None:
        if not 0 < len(client_id) <= 255 or ":" in client_id or not client_id.isprintable():
            raise RequestRejected("client_invalid", "the client id is empty, too long or odd")
        if is_user_id(client_id):  # its tokens would be that person's (RFC 9700 section 4.15)
            raise RequestRejected("client_invalid", "the client id is a user's id")
        if not audiences:
            raise RequestRejected("client_invalid", "a client needs an audience")
        fields = {**credentials, "audiences": _list(audiences), "scopes": _list(scopes)}
        parts = [part for pair in fields.items() for part in pair]
        if not await self._create(
            keys=[names.CLIENT + client_id, ALL_CLIENTS], args=[client_id, *parts]
        ):
            raise RequestRejected("client_taken", "the client id is taken", status=409)

    async def _set(self, client_id: str, *fields: str) -> None:
        if not await self._update(keys=[names.CLIENT + client_id], args=fields):
            raise RequestRejected("client_unknown", "there is no such client", status=404)


def invalid_client() -> RequestRejected:
    """One text for every cause."""
    return RequestRejected("invalid_client", "client authentication failed", status=401)


def credentials(*, secret: str = "", jwks: str = "") -> tuple[str, ...]:
    """What a client shows, as fields and values that leave nothing of what it has shown before: a
    generation of its own. What a client was created with has none.
    """
    generation = token_urlsafe(_GENERATION_BYTES)
    return ("secret", secret, "jwks", jwks, "certificate", "", "generation", generation)


def _digest(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


def checked_keys(jwks: Mapping[str, Any]) -> str:
    """What is kept of a JWK Set: public keys that are sound, all of them, and of each no more than
    its numbers and its name.

    Raises:
        RequestRejected: ``client_keys``.
    """
    try:
        found = jwk.from_jwks(jwks)
    except KeyRejected:
        raise RequestRejected("client_keys", "the keys are no JWK Set") from None
    if found.skipped or not 0 < len(found.keys) <= MAX_KEYS:
        raise RequestRejected("client_keys", "a key is weak, private, malformed or ambiguous")
    keys = [{**key.jwk, "kid": key.kid} for key in found.keys.values()]
    return orjson.dumps({"keys": keys}).decode()


def _text(name: CertificateName) -> str:
    return orjson.dumps([name.kind, name.value]).decode()


def _list(values: Sequence[str]) -> str:
    return orjson.dumps(list(values)).decode()


def _client(client_id: str, fields: Any) -> Client | None:
    if not fields or fields.get("disabled") == "1":
        return None
    return Client(
        client_id,
        tuple(orjson.loads(fields["audiences"])),
        tuple(orjson.loads(fields["scopes"])),
        generation=fields.get("generation", ""),
    )
