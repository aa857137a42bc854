"""Tokens and JWK Sets as four providers write them, made by two libraries that are not ours."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwt as joserfc_jwt
from joserfc.jwk import RSAKey
from jwt.algorithms import RSAAlgorithm

_numbers = itertools.count(1)


class Signer(Protocol):
    """One key of a provider's, under the provider's own name for it."""

    kid: str

    def jwk(self) -> dict[str, Any]: ...

    def sign(self, claims: Mapping[str, Any], typ: str | None) -> str: ...


class PyJwtSigner:
    """PyJWT, with a key of cryptography's."""

    def __init__(self, kid: str, number: int) -> None:
        self.kid = kid
        self._key = _rsa_key(number)

    def jwk(self) -> dict[str, Any]:
        public: dict[str, Any] = json.loads(RSAAlgorithm.to_jwk(self._key.public_key()))
        return {**public, "kid": self.kid, "use": "sig", "alg": "RS256", "x5t": "legacy"}

    def sign(self, claims: Mapping[str, Any], typ: str | None) -> str:
        headers: dict[str, Any] = {"kid": self.kid, "typ": typ}
        return jwt.encode(dict(claims), self._key, algorithm="RS256", headers=headers)


class JoserfcSigner:
    """joserfc, with a key of its own; its set names no alg, as Entra's does not."""

    def __init__(self, kid: str, number: int) -> None:
        self.kid = kid
        self._key = _joserfc_key(number)

    def jwk(self) -> dict[str, Any]:
        return {**self._key.as_dict(private=False), "kid": self.kid, "use": "sig"}

    def sign(self, claims: Mapping[str, Any], typ: str | None) -> str:
        header = {"alg": "RS256", "kid": self.kid}
        if typ is not None:
            header["typ"] = typ
        # `default_type` would write a `typ` of its own into a header that has none.
        return joserfc_jwt.encode(header, dict(claims), self._key, default_type=None)


@cache
def _rsa_key(number: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def _joserfc_key(number: int) -> RSAKey:
    return RSAKey.generate_key(2048, auto_kid=False)


LIBRARIES: dict[str, type[PyJwtSigner] | type[JoserfcSigner]] = {
    "pyjwt": PyJwtSigner,
    "joserfc": JoserfcSigner,
}


@dataclass(frozen=True)
class Dialect:
    """One provider's conventions. ``own`` are an access token's claims beside the registered ones,
    ``of_id_token`` an ID token's; ``names`` say what our claims are called there.
    """

    name: str
    typ: str | None
    life_s: int
    own: Mapping[str, Any]
    of_id_token: Mapping[str, Any]
    names: Mapping[str, str | None]
    permissions: frozenset[str]

    def access(self, iss: str, aud: Any, now: int, **changes: Any) -> dict[str, Any]:
        """A change to None takes a claim out; ``jti``, ``sub``, ``sid`` and ``client`` are changed
        under the provider's names.
        """
        claims = {**self._registered(iss, aud, now), **self.own}
        jti = self.names["jti"]
        if jti is not None:
            claims[jti] = f"AT.{self.name}-{next(_numbers)}"
        return self._changed(claims, changes)

    def id_token(self, iss: str, client: str, now: int, **changes: Any) -> dict[str, Any]:
        """What a client gets about who has logged in."""
        return self._changed({**self._registered(iss, client, now), **self.of_id_token}, changes)

    def _registered(self, iss: str, aud: Any, now: int) -> dict[str, Any]:
        exp = now + self.life_s
        return {"iss": iss, "aud": aud, "iat": now, "exp": exp, "sub": "user@example.com"}

    def _changed(self, claims: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
        renamed = {self.names.get(name, name) or name: value for name, value in changes.items()}
        return {k: v for k, v in {**claims, **renamed}.items() if v is not None}


KEYCLOAK = Dialect(
    name="keycloak",
    typ="JWT",
    life_s=300,
    own={
        "typ": "Bearer",
        "azp": "shop",
        "sid": "kc-session",
        "acr": "1",
        "allowed-origins": ["https://shop.example"],
        "realm_access": {"roles": ["offline_access", "orders-clerk"]},
        "resource_access": {"account": {"roles": ["view-profile"]}},
        "scope": "openid profile orders:read",
        "email_verified": True,
        "preferred_username": "ada",
    },
    of_id_token={
        "typ": "ID",
        "azp": "shop",
        "sid": "kc-session",
        "jti": "kc-id",
        "at_hash": "Y3Jhc2g",
        "nonce": "n-1",
    },
    names={"jti": "jti", "sub": "sub", "sid": "sid", "client": "azp"},
    permissions=frozenset({"openid", "profile", "orders:read", "offline_access", "orders-clerk"}),
)
AUTH0 = Dialect(
    name="auth0",
    typ="JWT",
    life_s=3600,
    own={
        "azp": "shop",
        "gty": "password",
        "scope": "openid orders:read",
        "permissions": ["orders:write"],
    },
    of_id_token={"sid": "auth0-session", "nonce": "n-1", "name": "Ada"},
    names={"jti": None, "sub": "sub", "sid": None, "client": "azp"},
    permissions=frozenset({"openid", "orders:read", "orders:write"}),
)
OKTA = Dialect(
    name="okta",
    typ=None,
    life_s=3600,
    own={
        "ver": 1,
        "cid": "shop",
        "uid": "00u1",
        "scp": ["openid", "orders:read"],
        "auth_time": 1,
        "groups": ["clerks"],
    },
    of_id_token={
        "ver": 1,
        "jti": "ID.1",
        "amr": ["pwd"],
        "idp": "00o1",
        "auth_time": 1,
        "at_hash": "Y3Jhc2g",
    },
    names={"jti": "jti", "sub": "uid", "sid": None, "client": "cid"},
    permissions=frozenset({"openid", "orders:read", "clerks"}),
)
ENTRA = Dialect(
    name="entra",
    typ="JWT",
    life_s=5400,
    own={
        "ver": "2.0",
        "tid": "11111111-2222-3333-4444-555555555555",
        "oid": "66666666-7777-8888-9999-000000000000",
        "azp": "shop",
        "azpacr": "1",
        "aio": "opaque",
        "rh": "opaque",
        "scp": "Orders.Read Orders.List",
        "roles": ["Orders.Admin"],
        "sid": "entra-session",
    },
    of_id_token={
        "ver": "2.0",
        "tid": "11111111-2222-3333-4444-555555555555",
        "oid": "66666666-7777-8888-9999-000000000000",
        "uti": "entra-id",
        "roles": ["Orders.Admin"],
        "nonce": "n-1",
    },
    names={"jti": "uti", "sub": "oid", "sid": "sid", "client": "azp"},
    permissions=frozenset({"Orders.Read", "Orders.List", "Orders.Admin"}),
)
DIALECTS = {dialect.name: dialect for dialect in (KEYCLOAK, AUTH0, OKTA, ENTRA)}
