"""Clients that authenticate by a certificate, and tokens that are bound to it (RFC 8705).

On real listeners: nothing of a certificate is in a request but by the handshake.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from tests.issuer.conftest import CountingHasher
from tests.issuer.http.conftest import CONFIG, Issuer
from tests.issuer.http.exchange_services import POLICY
from tests.issuer.http.test_private_key_jwt import KEY, assertion, credentials
from tests.support.certificates import Authority, Issued
from tests.support.keys import public_jwk
from tocsin_issuer.http import create_internal_app, create_public_app
from tocsin_issuer.http.connection import ConnectionLimits
from tocsin_issuer.http.server import Listener
from tocsin_issuer.tls.certificate_name import CertificateName
from tocsin_issuer.tls.files import TlsFiles
from tocsin_schemas.confirmation import thumbprint
from tocsin_schemas.token_exchange import ACCESS_TOKEN_TYPE, GRANT_TYPE, JWT_TYPE

SERVERS, CLIENTS = Authority("servers"), Authority("clients")
ORDERS, INVENTORY = CLIENTS.client("orders-service"), CLIENTS.client("inventory-service")
RENEWED = CLIENTS.client("orders-service")


class Served:
    """Both listeners of an issuer, as clients with and without certificates reach them."""

    def __init__(self, issuer: Issuer, public: Listener, internal: Listener, folder: Path) -> None:
        self.issuer = issuer
        self._ports = {"public": public.port, "internal": internal.port}
        self._folder = folder
        self._stack = AsyncExitStack()
        self._clients: dict[tuple[str, bytes], httpx.AsyncClient] = {}

    def reach(self, listener: str, issued: Issued | None) -> httpx.AsyncClient:
        key = (listener, b"" if issued is None else issued.der)
        if key not in self._clients:
            context = ssl.create_default_context(cadata=SERVERS.pem.decode())
            if issued is not None:
                context.load_cert_chain(*issued.write(self._folder, "client"))
            self._clients[key] = httpx.AsyncClient(
                verify=context,
                trust_env=False,
                base_url=f"https://127.0.0.1:{self._ports[listener]}",
            )
        return self._clients[key]

    async def post(
        self, path: str, issued: Issued | None, listener: str = "internal", **form: str
    ) -> httpx.Response:
        return await self.reach(listener, issued).post(path, data=form)

    async def token(self, issued: Issued | None, client_id: str, **form: str) -> httpx.Response:
        grant = {"grant_type": "client_credentials", "client_id": client_id, **form}
        return await self.post("/oauth/token", issued, "public", **grant)

    async def own_token(self, issued: Issued, client_id: str) -> str:
        answer = await self.token(issued, client_id)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    async def trade(
        self, issued: Issued, client_id: str, token: str, **more: str
    ) -> httpx.Response:
        form = {
            "grant_type": GRANT_TYPE,
            "client_id": client_id,
            "subject_token": token,
            "subject_token_type": ACCESS_TOKEN_TYPE,
            **more,
        }
        return await self.post("/oauth/token", issued, **form)

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()


@pytest.fixture
async def served(redis: Redis, hasher: CountingHasher, tmp_path: Path) -> AsyncIterator[Served]:
    certificate, key = SERVERS.server().write(tmp_path, "listener")
    files = TlsFiles(
        certificate=certificate,
        key=key,
        client_ca=CLIENTS.write(tmp_path / "clients.pem"),
        client_certificate="optional",
    )
    config = CONFIG.model_copy(update={"public_tls": files, "internal_tls": files})
    issuer = Issuer(redis, hasher, config)
    limits = ConnectionLimits.of(CONFIG)
    public = Listener(create_public_app(issuer.context), "127.0.0.1", 0, limits, files)
    internal = Listener(
        create_internal_app(issuer.context, lambda: POLICY), "127.0.0.1", 0, limits, files
    )
    for listener in (public, internal):
        listener.start()
    for name in ("orders-service", "inventory-service"):
        await issuer.clients.create_with_certificate(
            name,
            ["orders", "inventory"],
            ["tokens:introspect", "keys:read", "inventory:read"],
            name=CertificateName.parse("subject_dn", f"CN={name}"),
        )
    served = Served(issuer, public, internal, tmp_path)
    yield served
    await served.close()
    for listener in (public, internal):
        await listener.stop()
    await issuer.aclose()


def claims(served: Served, token: str, issued: Issued | None = None) -> dict[str, Any]:
    shown = None if issued is None else issued.der
    return served.issuer.of_any_audience.verify(token, certificate=shown).claims


def outcome(answer: httpx.Response) -> tuple[int, str]:
    members = answer.json()
    return answer.status_code, members.get("code", "")


# --- who it is ----------------------------------------------------------------------------------


async def test_a_certificate_opens_every_endpoint_and_its_token_is_bound(served: Served) -> None:
    token = await served.own_token(ORDERS, "orders-service")
    assert claims(served, token, ORDERS)["cnf"] == {"x5t#S256": thumbprint(ORDERS.der)}
    asked = {"client_id": "orders-service", "token": token}
    introspected = (await served.post("/oauth/introspect", ORDERS, **asked)).json()
    assert introspected["active"] is True
    assert introspected["cnf"] == {"x5t#S256": thumbprint(ORDERS.der)}
    revoked = await served.post("/oauth/revoke", ORDERS, **asked)
    assert outcome(revoked) == (503, "commit_pending")
    traded = await served.post(
        "/oauth/token", ORDERS, client_id="orders-service", grant_type="password"
    )
    assert outcome(traded) == (400, "unsupported_grant_type")


async def test_a_renewed_certificate_is_the_same_client(served: Served) -> None:
    token = await served.own_token(RENEWED, "orders-service")
    assert claims(served, token, RENEWED)["cnf"] == {"x5t#S256": thumbprint(RENEWED.der)}


@pytest.mark.parametrize(
    ("issued", "client_id"),
    [
        (None, "orders-service"),
        (INVENTORY, "orders-service"),
        (ORDERS, "inventory-service"),
        (ORDERS, "nobody"),
    ],
)
async def test_nobody_elses_certificate_does(
    served: Served, issued: Issued | None, client_id: str
) -> None:
    assert outcome(await served.token(issued, client_id)) == (401, "invalid_client")
    for path in ("/oauth/introspect", "/oauth/revoke"):
        answer = await served.post(path, issued, client_id=client_id, token="x")
        assert outcome(answer) == (401, "invalid_client")


async def test_the_request_must_say_who_it_is(served: Served) -> None:
    answer = await served.post("/oauth/token", ORDERS, "public", grant_type="client_credentials")
    assert outcome(answer) == (401, "invalid_client")


async def test_one_client_has_one_way(served: Served) -> None:
    """Whatever it has shown before; a certificate beside it is the connection's own business."""
    clients = served.issuer.clients
    for secret in ("x", thumbprint(ORDERS.der)):
        answer = await served.token(ORDERS, "orders-service", client_secret=secret)
        assert outcome(answer) == (401, "invalid_client")
    text = assertion(KEY, iss="orders-service", sub="orders-service")
    answer = await served.token(ORDERS, "orders-service", **credentials(text))
    assert outcome(answer) == (401, "invalid_client")

    secret = await clients.renew_secret("orders-service")
    assert outcome(await served.token(ORDERS, "orders-service")) == (401, "invalid_client")
    answer = await served.token(ORDERS, "orders-service", client_secret=secret)
    assert "cnf" not in claims(served, answer.json()["access_token"])

    await clients.set_keys("inventory-service", {"keys": [public_jwk(KEY)]})
    answer = await served.token(INVENTORY, "inventory-service")
    assert outcome(answer) == (401, "invalid_client")
    text = assertion(KEY, iss="inventory-service", sub="inventory-service")
    answer = await served.token(INVENTORY, "inventory-service", **credentials(text))
    assert "cnf" not in claims(served, answer.json()["access_token"])


async def test_a_disabled_client_stays_out(served: Served) -> None:
    await served.issuer.clients.set_disabled("orders-service", True)
    assert outcome(await served.token(ORDERS, "orders-service")) == (401, "invalid_client")


async def test_no_header_makes_a_certificate(served: Served) -> None:
    pem = ORDERS.pem.decode().replace("\n", "%0A")
    for name in ("Client-Cert", "X-SSL-Client-Cert", "SSL-Client-Cert", "X-Tocsin-Client-Cert"):
        answer = await served.reach("public", None).post(
            "/oauth/token",
            data={"grant_type": "client_credentials", "client_id": "orders-service"},
            headers={name: pem},
        )
        assert outcome(answer) == (401, "invalid_client")


async def test_the_metadata_says_so(served: Served) -> None:
    path = "/.well-known/oauth-authorization-server"
    for listener, endpoints in (
        ("public", ("token",)),
        ("internal", ("token", "revocation", "introspection")),
    ):
        members = (await served.reach(listener, None).get(path)).json()
        assert members["tls_client_certificate_bound_access_tokens"] is True
        for endpoint in endpoints:
            methods = members[f"{endpoint}_endpoint_auth_methods_supported"]
            assert "tls_client_auth" in methods


async def test_where_no_certificate_is_seen_the_metadata_promises_none(issuer: Issuer) -> None:
    for client in (issuer.public, issuer.internal):
        members = (await client.get("/.well-known/oauth-authorization-server")).json()
        assert "tls_client_certificate_bound_access_tokens" not in members
        assert "tls_client_auth" not in members["token_endpoint_auth_methods_supported"]


# --- what is bound ------------------------------------------------------------------------------


async def test_an_operators_bound_token_needs_its_certificate(served: Served) -> None:
    await served.issuer.clients.create_with_certificate(
        "operator",
        [served.issuer.config.iss],
        ["keys:read"],
        name=CertificateName.parse("subject_dn", "CN=orders-service"),
    )
    bearer = {"Authorization": f"Bearer {await served.own_token(ORDERS, 'operator')}"}
    for issued, status in ((ORDERS, 200), (RENEWED, 401), (INVENTORY, 401), (None, 401)):
        answer = await served.reach("internal", issued).get("/admin/keys", headers=bearer)
        assert answer.status_code == status, answer.text


async def test_a_stolen_bound_token_logs_nobody_out(served: Served) -> None:
    token = await served.own_token(ORDERS, "orders-service")
    bearer = {"Authorization": f"Bearer {token}"}
    for path in ("/v1/logout", "/v1/logout-all"):
        for issued in (None, INVENTORY):
            answer = await served.reach("public", issued).post(path, headers=bearer)
            assert outcome(answer) == (401, "invalid_token")
    answer = await served.reach("public", ORDERS).post("/v1/logout", headers=bearer)
    assert answer.status_code == 202


async def test_an_exchanged_token_is_bound_to_who_traded_it(served: Served) -> None:
    await served.issuer.alice(("inventory:read",))
    subject = (await served.issuer.login())["access_token"]
    answer = await served.trade(ORDERS, "orders-service", subject, audience="inventory")
    child = answer.json()["access_token"]
    assert claims(served, child, ORDERS)["cnf"] == {"x5t#S256": thumbprint(ORDERS.der)}
    answer = await served.trade(INVENTORY, "inventory-service", child, audience="warehouse")
    grandchild = answer.json()["access_token"]
    assert claims(served, grandchild, INVENTORY)["cnf"] == {"x5t#S256": thumbprint(INVENTORY.der)}


async def test_a_bound_token_becomes_no_bearer_token(served: Served) -> None:
    child = await served.own_token(ORDERS, "orders-service")
    secret = await served.issuer.clients.renew_secret("inventory-service")
    answer = await served.trade(
        INVENTORY, "inventory-service", child, audience="warehouse", client_secret=secret
    )
    assert outcome(answer) == (400, "subject_token_bound")
    assert answer.json()["error"] == "invalid_request"


async def test_it_is_handed_back_to_its_holder_alone(served: Served) -> None:
    clients = served.issuer.clients
    await clients.create_with_certificate(
        "caller", ["orders", "search"], name=CertificateName.parse("subject_dn", "CN=caller")
    )
    caller = CLIENTS.client("caller")
    bound = await served.own_token(caller, "caller")
    answer = await served.trade(ORDERS, "orders-service", bound, audience="search")
    assert answer.json()["access_token"] != bound
    cnf = claims(served, answer.json()["access_token"], ORDERS)["cnf"]
    assert cnf == {"x5t#S256": thumbprint(ORDERS.der)}
    own = await served.issuer.context.minter.mint(
        "orders-service",
        "orders-service",
        ["orders", "search"],
        bound_to=thumbprint(ORDERS.der),
    )
    answer = await served.trade(ORDERS, "orders-service", own.token, audience="search")
    assert answer.json()["access_token"] == own.token


async def test_an_actor_token_must_be_usable_by_who_shows_it(served: Served) -> None:
    await served.issuer.alice(("inventory:read",))
    subject = (await served.issuer.login())["access_token"]
    actor = await served.own_token(ORDERS, "orders-service")
    form = {"audience": "inventory", "actor_token": actor, "actor_token_type": JWT_TYPE}
    answer = await served.trade(ORDERS, "orders-service", subject, **form)
    assert answer.status_code == 200, answer.text
    answer = await served.trade(RENEWED, "orders-service", subject, **form)
    assert outcome(answer) == (400, "actor_token_invalid")


async def test_a_refreshed_token_is_bound_where_the_client_shows_a_certificate(
    served: Served,
) -> None:
    config = served.issuer.config
    await served.issuer.clients.create_with_certificate(
        config.login_client_id, ["orders"], name=CertificateName.parse("subject_dn", "CN=browser")
    )
    await served.issuer.alice()
    form = {"grant_type": "refresh_token", "client_id": config.login_client_id}
    refresh = (await served.issuer.login())["refresh_token"]
    wrong = await served.post("/oauth/token", ORDERS, "public", refresh_token=refresh, **form)
    assert outcome(wrong) == (401, "invalid_client")
    for given in (form, {"grant_type": "refresh_token"}):  # no token without its certificate
        bare = await served.post("/oauth/token", None, "public", refresh_token=refresh, **given)
        assert outcome(bare) == (401, "invalid_client")
    browser = CLIENTS.client("browser")
    answer = await served.post("/oauth/token", browser, "public", refresh_token=refresh, **form)
    cnf = claims(served, answer.json()["access_token"], browser)["cnf"]
    assert cnf == {"x5t#S256": thumbprint(browser.der)}
