"""``/admin/users`` and ``/admin/clients``."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI
from redis.asyncio import Redis

from tests.issuer.conftest import CountingHasher
from tests.issuer.http import conftest
from tests.issuer.http.conftest import CONFIG, ISS, Issuer
from tests.issuer.store.helpers import events_in, only_event
from tests.support.keys import public_jwk, signer
from tests.support.weak_keys import rsa_jwk
from tocsin_issuer.http import IssuerContext, create_internal_app
from tocsin_issuer.http.account_routes import account_router
from tocsin_issuer.keys.signer import PrivateKeySigner
from tocsin_issuer.store.account_endings import AccountEndings
from tocsin_issuer.store.account_list import AccountList
from tocsin_issuer.store.passwords import Passwords
from tocsin_issuer.store.users import UserStore
from tocsin_issuer.tls.certificate_name import CertificateName
from tocsin_schemas import jws
from tocsin_schemas.client_assertion import ASSERTION_TYPE
from tocsin_schemas.events import ClientRevokedBefore, SubjectRevokedBefore

PERMISSIONS = ("users:read", "users:write", "clients:read", "clients:write")


@pytest.fixture
async def issuer(
    redis: Redis, hasher: CountingHasher, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Issuer]:
    """An issuer whose internal listener has these routes as well."""

    def with_accounts(context: IssuerContext) -> FastAPI:
        app = create_internal_app(context)
        assert isinstance(context.users, UserStore)
        endings = AccountEndings(
            redis,
            context.outbox,
            Passwords(hasher),
            max_token_life_s=CONFIG.max_token_life_s,
            session_absolute_s=CONFIG.session_absolute_s,
        )
        app.include_router(account_router(context, context.users, endings, AccountList(redis)))
        return app

    monkeypatch.setattr(conftest, "create_internal_app", with_accounts)
    issuer = Issuer(redis, hasher, CONFIG)
    yield issuer
    await issuer.aclose()


@pytest.fixture
async def operator(issuer: Issuer) -> dict[str, str]:
    return await issuer.operator(*PERMISSIONS)


async def post(issuer: Issuer, path: str, header: dict[str, str], **body: Any) -> tuple[int, Any]:
    answer = await issuer.internal.post(
        "/admin" + path, headers=header, json=body if body else None
    )
    return answer.status_code, answer.json()


@pytest.mark.parametrize(
    ("names", "code"),
    [
        ({"tls_client_auth_san_dns": "*.internal"}, "client_certificate_name"),
        (
            {"tls_client_auth_san_dns": "a", "tls_client_auth_san_ip": "::1"},
            "client_certificate_name",
        ),
        ({"tls_client_auth_san_dns": ""}, "field_invalid"),
        ({"tls_client_auth_san": "a"}, "field_unknown"),
    ],
)
async def test_a_certificate_has_one_good_name(
    issuer: Issuer, operator: dict[str, str], names: dict[str, str], code: str
) -> None:
    status, answer = await post(
        issuer, "/clients", operator, client_id="payments", audiences=["orders"], **names
    )
    assert (status, answer["code"]) == (400, code)
    assert await issuer.clients.find("payments") is None


async def test_a_client_with_a_certificate_has_no_secret_until_it_gets_one(
    issuer: Issuer, operator: dict[str, str]
) -> None:
    name = {"tls_client_auth_san_dns": "Payments.internal"}
    body = {"client_id": "payments", "audiences": ["orders"], **name}
    assert await post(issuer, "/clients", operator, **body) == (201, {"client_id": "payments"})
    found = await issuer.clients.find_with_certificate_name("payments")
    assert found is not None
    assert found[1] == CertificateName("san_dns", "payments.internal")
    _, rotated = await post(issuer, "/clients/payments/secret", operator)
    assert await issuer.clients.find_with_certificate_name("payments") is None
    secret = rotated["client_secret"]
    assert await issuer.clients.authenticate("payments", secret) is not None


async def test_a_user_from_creation_to_deletion(issuer: Issuer, operator: dict[str, str]) -> None:
    status, made = await post(
        issuer,
        "/users",
        operator,
        username="alice",
        password="correct horse",
        role="clerk",
        perms=["orders:read"],
    )
    assert status == 201
    sub = made["sub"]
    tokens = await issuer.login()
    claims = issuer.verifier.verify(tokens["access_token"]).claims
    assert (claims["sub"], claims["role"], claims["perms"]) == (sub, "clerk", ["orders:read"])
    answer = await issuer.internal.get("/admin/users", headers=operator)
    (listed,) = (one for one in answer.json()["users"] if one["sub"] == sub)
    assert listed == {
        "sub": sub,
        "username": "alice",
        "role": "clerk",
        "perms": ["orders:read"],
        "disabled": False,
    }
    assert (await post(issuer, f"/users/{sub}/disable", operator))[0] == 202
    event = await only_event(issuer.outbox, SubjectRevokedBefore)
    assert (event.sub, event.reason) == (sub, "user-disabled")
    assert (await issuer.refresh(tokens["refresh_token"])).status_code == 400
    assert await post(issuer, f"/users/{sub}/enable", operator) == (200, {"sub": sub})
    async with issuer.sequencing():
        status, answered = await post(issuer, f"/users/{sub}/password", operator, password="new")
        assert (status, answered["status"]) == (200, "committed")
    await issuer.login(password="new")
    gone = await issuer.internal.delete(f"/admin/users/{sub}", headers=operator)
    assert gone.status_code == 202
    assert await issuer.users.authenticate("alice", "new") is None
    left = (await issuer.internal.get("/admin/users", headers=operator)).json()["users"]
    assert [one["username"] for one in left] == ["root"]


async def test_a_client_from_creation_to_its_end(issuer: Issuer, operator: dict[str, str]) -> None:
    status, made = await post(
        issuer, "/clients", operator, client_id="reports", audiences=["orders"], scopes=["a"]
    )
    assert status == 201
    form = {"grant_type": "client_credentials"}

    async def ask(secret: str) -> int:
        auth = ("reports", secret)
        return (await issuer.public.post("/oauth/token", data=form, auth=auth)).status_code

    assert await ask(made["client_secret"]) == 200
    status, rotated = await post(issuer, "/clients/reports/secret", operator)
    assert (status, rotated["status"]) == (202, "pending")
    assert (await ask(made["client_secret"]), await ask(rotated["client_secret"])) == (401, 200)
    assert (await post(issuer, "/clients/reports/disable", operator))[0] == 202
    assert await ask(rotated["client_secret"]) == 401
    assert (await post(issuer, "/clients/reports/enable", operator))[0] == 200
    assert await ask(rotated["client_secret"]) == 200
    events = [one for one in await events_in(issuer.outbox) if isinstance(one, ClientRevokedBefore)]
    assert [one.reason for one in events] == ["client-secret-rotated", "client-disabled"]


def signed_by(key: PrivateKeySigner) -> dict[str, str]:
    """The form of a client that asserts who it is."""
    now = int(time.time())
    claims = {"iss": "signs", "sub": "signs", "aud": ISS, "iat": now, "exp": now + 60}
    text = jws.sign_compact({**claims, "jti": f"{time.time_ns()}"}, key, "JWT")
    return {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": text,
    }


async def test_a_client_with_keys_of_its_own(issuer: Issuer, operator: dict[str, str]) -> None:
    """Its keys come by value, are replaced at once, and give way to a secret."""
    one, two = signer("ES256", "one"), signer("RS256", "two")

    async def ask(key: PrivateKeySigner) -> int:
        return (await issuer.public.post("/oauth/token", data=signed_by(key))).status_code

    body = {
        "client_id": "signs",
        "audiences": ["orders"],
        "jwks": {"keys": [public_jwk(one)]},
    }
    status, made = await post(issuer, "/clients", operator, **body)
    assert (status, "client_secret" in made) == (201, False)
    assert (await ask(one), await ask(two)) == (200, 401)
    listed = (await issuer.internal.get("/admin/clients", headers=operator)).json()["clients"]
    assert [(row["token_endpoint_auth_method"], row["kids"]) for row in listed] == [
        ("private_key_jwt", [one.kid])
    ]

    url, replaced = "/admin/clients/signs/keys", {"jwks": {"keys": [public_jwk(two)]}}
    answer = await issuer.internal.put(url, headers=operator, json=replaced)
    assert answer.status_code == 202
    event = await only_event(issuer.outbox, ClientRevokedBefore)
    assert (event.client_id, event.reason) == ("signs", "client-keys-replaced")
    assert (await ask(one), await ask(two)) == (401, 200)

    _, rotated = await post(issuer, "/clients/signs/secret", operator)
    assert await ask(two) == 401
    assert await issuer.clients.authenticate("signs", rotated["client_secret"]) is not None
    assert await issuer.clients.authenticate("signs", "") is None


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"jwks": "https://elsewhere.example/keys"}, "field_invalid"),
        ({"jwks_uri": "https://elsewhere.example/keys"}, "field_unknown"),
        ({"jwks": {}}, "client_keys"),
        ({"jwks": {"keys": []}}, "client_keys"),
        (
            {
                "jwks": {"keys": [rsa_jwk(2**1023 + 1)]},
            },
            "client_keys",
        ),
        (
            {
                "jwks": {"keys": [public_jwk(signer("ES256", "d"), d="AAAA")]},
            },
            "client_keys",
        ),
    ],
)
async def test_keys_that_are_refused(
    issuer: Issuer, operator: dict[str, str], more: dict[str, Any], code: str
) -> None:
    body = {"client_id": "a", "audiences": ["orders"], **more}
    status, answer = await post(issuer, "/clients", operator, **body)
    assert (status, answer["code"]) == (400, code)
    assert await issuer.clients.find("a") is None
    if code == "client_keys":
        secret = await issuer.clients.create("b", ["orders"])
        url = "/admin/clients/b/keys"
        refused = await issuer.internal.put(url, headers=operator, json={"jwks": more["jwks"]})
        assert (refused.status_code, refused.json()["code"]) == (400, code)
        assert await issuer.clients.authenticate("b", secret) is not None
        assert await events_in(issuer.outbox) == []


async def test_users_in_pages(issuer: Issuer, operator: dict[str, str]) -> None:
    subs = [await issuer.users.create(f"user {i}", "x") for i in range(7)]
    seen: list[str] = []
    cursor = ""
    while True:
        query = {"limit": "3", "cursor": cursor}
        answer = await issuer.internal.get("/admin/users", params=query, headers=operator)
        page = [one["sub"] for one in answer.json()["users"]]
        seen += page
        cursor = answer.json().get("cursor", "")
        if not cursor:
            break
    assert seen == sorted(seen)
    assert set(subs) < set(seen)
    assert len(seen) == 8


ROUTES = [
    ("GET", "/users", "users:read"),
    ("POST", "/users", "users:write"),
    ("POST", "/users/u_x/disable", "users:write"),
    ("POST", "/users/u_x/password", "users:write"),
    ("DELETE", "/users/u_x", "users:write"),
    ("GET", "/clients", "clients:read"),
    ("POST", "/clients", "clients:write"),
    ("POST", "/clients/x/secret", "clients:write"),
    ("PUT", "/clients/x/keys", "clients:write"),
    ("POST", "/clients/x/disable", "clients:write"),
]
BODIES: dict[str, dict[str, Any]] = {
    "/users": {"username": "mallory", "password": "x"},
    "/users/u_x/password": {"password": "x"},
    "/clients": {"client_id": "x", "audiences": ["orders"]},
}


@pytest.mark.parametrize(("method", "path", "permission"), ROUTES)
async def test_each_needs_its_permission(
    issuer: Issuer, method: str, path: str, permission: str
) -> None:
    others = [one for one in (*PERMISSIONS, "orders:read") if one != permission]
    header = await issuer.operator(*others)
    body = BODIES.get(path) if method == "POST" else None
    answer = await issuer.internal.request(method, "/admin" + path, headers=header, json=body)
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    answer = await issuer.internal.request(method, "/admin" + path, json=body)
    assert answer.status_code == 401
    assert await events_in(issuer.outbox) == []


async def test_no_operator_makes_more_of_themselves(
    issuer: Issuer, operator: dict[str, str]
) -> None:
    """Neither by a new account nor by the password or the secret of one that may do more."""
    chief = await issuer.users.create("chief", "x", perms=["keys:write", "orders:read"])
    await issuer.clients.create("keeper", ["orders"], ["keys:write"])
    attempts: list[tuple[str, dict[str, Any]]] = [
        ("/users", {"username": "a", "password": "x", "perms": ["keys:write"]}),
        ("/clients", {"client_id": "a", "audiences": ["orders"], "scopes": ["keys:write"]}),
        (f"/users/{chief}/password", {"password": "mine now"}),
        ("/clients/keeper/secret", {}),
        ("/clients/keeper/disable", {}),
    ]
    for path, body in attempts:
        assert (await post(issuer, path, operator, **body))[0] == 403, path
    keys = {"jwks": {"keys": [public_jwk(signer("ES256", "mine now"))]}}
    answer = await issuer.internal.put("/admin/clients/keeper/keys", headers=operator, json=keys)
    assert answer.status_code == 403
    assert await issuer.users.authenticate("chief", "x") is not None
    assert await issuer.users.sub_of("a") is None
    assert await issuer.clients.find("a") is None
    assert await events_in(issuer.outbox) == []


async def test_no_client_is_named_as_a_person_may_be(
    issuer: Issuer, operator: dict[str, str]
) -> None:
    """Its tokens would be that person's (RFC 9700 section 4.15)."""
    for client_id in (await issuer.alice(), "u_" + "x" * 22):
        status, members = await post(
            issuer, "/clients", operator, client_id=client_id, audiences=["orders"]
        )
        assert (status, members["code"]) == (400, "client_invalid")
        assert await issuer.clients.find(client_id) is None


async def test_nobody_and_nonsense(issuer: Issuer, operator: dict[str, str]) -> None:
    unknown: list[tuple[str, dict[str, Any]]] = [
        ("/users/u_x/disable", {}),
        ("/users/u_x/password", {"password": "x"}),
        ("/clients/x/secret", {}),
        ("/clients/x/enable", {}),
    ]
    for path, body in unknown:
        assert (await post(issuer, path, operator, **body))[0] == 404, path
    nonsense: list[tuple[str, dict[str, Any]]] = [
        ("/users", {"username": "a", "password": ""}),
        ("/users", {"username": "a", "password": "x", "perms": ["two words"]}),
        ("/users", {"username": "a", "password": "x", "perms": "orders:read"}),
        ("/clients", {"client_id": "a", "audiences": []}),
    ]
    for path, body in nonsense:
        status, answer = await post(issuer, path, operator, **body)
        assert status == 400, (path, body, answer)
    for query in ("limit=0", "limit=201", "cursor=" + "x" * 256):
        answered = await issuer.internal.get(f"/admin/users?{query}", headers=operator)
        assert answered.status_code == 400
