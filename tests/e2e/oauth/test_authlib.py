"""Authlib, unmodified, against an issuer process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import httpx
import pytest
from authlib.integrations import httpx_client
from authlib.integrations.base_client import OAuthError
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from tests.e2e.oauth.conftest import Clients
from tests.support.keys import private_pem
from tocsin_schemas.token_exchange import ACCESS_TOKEN_TYPE, GRANT_TYPE

OAuth2Client: Any = httpx_client.OAuth2Client  # a class without types
Open = Callable[[Clients], AbstractContextManager[Any]]


def with_secret(way: str) -> Open:
    @contextmanager
    def opened(clients: Clients) -> Iterator[Any]:
        with OAuth2Client(
            "orders-service",
            clients.secret,
            token_endpoint_auth_method=way,
            revocation_endpoint_auth_method=way,
        ) as client:
            yield client

    return opened


@contextmanager
def with_key(clients: Clients) -> Iterator[Any]:
    """Authlib names the URL that it asks as the audience, gives an hour, and names no key."""
    with OAuth2Client(
        "signing-service",
        ECKey.import_key(private_pem(clients.key)),
        token_endpoint_auth_method="private_key_jwt",
        revocation_endpoint_auth_method="private_key_jwt",
    ) as client:
        client.register_client_auth_method(PrivateKeyJWT(alg="ES256"))
        yield client


WAYS: dict[str, Open] = {
    "client_secret_basic": with_secret("client_secret_basic"),
    "client_secret_post": with_secret("client_secret_post"),
    "private_key_jwt": with_key,
}
ways = pytest.mark.parametrize("way", WAYS)


@pytest.fixture(scope="module")
def login(clients: Clients) -> dict[str, Any]:
    return clients.up.log_in()


@pytest.fixture(scope="module")
def public(clients: Clients) -> Any:
    """The public listener's metadata, as Authlib reads and checks it."""
    issuer = clients.up.public_url
    url = get_well_known_url(issuer, external=True, suffix="oauth-authorization-server")
    return AuthorizationServerMetadata(httpx.get(url).json())


@pytest.fixture(scope="module")
def internal(clients: Clients) -> dict[str, Any]:
    url = f"{clients.up.internal_url}/.well-known/oauth-authorization-server"
    members: dict[str, Any] = httpx.get(url).json()
    return members


def claims_of(public: Any, token: str) -> dict[str, Any]:
    """Read by another implementation, with the keys that the metadata names."""
    keys = KeySet.import_key_set(httpx.get(public["jwks_uri"]).json())
    claims: dict[str, Any] = jwt.decode(token, keys, algorithms=["RS256"]).claims
    return claims


def trade(client: Any, internal: dict[str, Any], token: str, audience: str = "inventory") -> Any:
    return client.fetch_token(
        internal["token_endpoint"],
        grant_type=GRANT_TYPE,
        subject_token=token,
        subject_token_type=ACCESS_TOKEN_TYPE,
        audience=audience,
    )


def test_refresh(clients: Clients, public: Any) -> None:
    login = clients.up.log_in()
    with OAuth2Client("first-party", token_endpoint=public["token_endpoint"], token=login) as app:
        fresh = app.refresh_token()
        assert fresh["refresh_token"] != login["refresh_token"]
        claims = claims_of(public, fresh["access_token"])
        assert (claims["sid"], claims["client_id"]) == (login["session_id"], "first-party")
        with pytest.raises(OAuthError, match="invalid_grant"):
            app.refresh_token(refresh_token=login["refresh_token"])


@ways
def test_client_credentials(clients: Clients, public: Any, way: str) -> None:
    with WAYS[way](clients) as client:
        token = client.fetch_token(
            public["token_endpoint"], grant_type="client_credentials", scope="orders:read"
        )
        assert token["scope"] == "orders:read"
        claims = claims_of(public, token["access_token"])
        assert claims["sub"] == claims["client_id"] == client.client_id


@ways
def test_exchange_revocation_and_introspection(
    clients: Clients, public: Any, internal: dict[str, Any], login: dict[str, Any], way: str
) -> None:
    with WAYS[way](clients) as client:
        traded = trade(client, internal, login["access_token"])
        assert traded["issued_token_type"] == ACCESS_TOKEN_TYPE
        claims = claims_of(public, traded["access_token"])
        assert (claims["aud"], claims["sid"]) == ("inventory", login["session_id"])
        assert claims["act"]["sub"] == client.client_id

        def introspect() -> Any:
            url = internal["introspection_endpoint"]
            return client.introspect_token(url, token=traded["access_token"]).json()

        assert introspect()["active"] is True
        assert introspect()["jti"] == claims["jti"]
        answer = client.revoke_token(internal["revocation_endpoint"], token=traded["access_token"])
        assert answer.status_code == 200
        assert introspect() == {"active": False}


def test_a_public_client_gives_its_refresh_token_back(
    clients: Clients, public: Any, internal: dict[str, Any]
) -> None:
    login = clients.up.log_in()
    with OAuth2Client(
        "first-party",
        token_endpoint_auth_method="none",
        revocation_endpoint_auth_method="none",
        token_endpoint=public["token_endpoint"],
        token=login,
    ) as app:
        url = internal["revocation_endpoint"]
        answer = app.revoke_token(url, token=login["refresh_token"])
        assert answer.status_code == 200
        with pytest.raises(OAuthError, match="invalid_grant"):
            app.refresh_token()


def test_a_target_outside_the_policy(
    clients: Clients, internal: dict[str, Any], login: dict[str, Any]
) -> None:
    with (
        WAYS["client_secret_basic"](clients) as client,
        pytest.raises(OAuthError, match="invalid_target"),
    ):
        trade(client, internal, login["access_token"], audience="payments")


def test_a_wrong_secret(clients: Clients, public: Any) -> None:
    with (
        OAuth2Client("orders-service", "not the secret") as client,
        pytest.raises(OAuthError, match="invalid_client"),
    ):
        client.fetch_token(public["token_endpoint"], grant_type="client_credentials")


def test_the_metadata_is_what_the_specification_asks_for(
    public: Any, internal: dict[str, Any]
) -> None:
    """RFC 8414 section 2. There is no authorization endpoint, so no response type is supported;
    Authlib wants one named where the RFC wants the (then empty) list.
    """
    for document in (public, internal):
        assert document["response_types_supported"] == []
        AuthorizationServerMetadata({**document, "response_types_supported": ["none"]}).validate()
    assert internal["issuer"] == public["issuer"]
    assert set(public["grant_types_supported"]) == {"refresh_token", "client_credentials"}
    assert internal["grant_types_supported"] == [GRANT_TYPE]
