"""The same wrongs at every endpoint: the error is the RFC's, and nothing has happened."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from tests.issuer.http.conftest import CONFIG, Issuer
from tests.issuer.http.exchange_services import FORM, Services, enter, log_in, open_services
from tests.issuer.http.test_revocation_endpoint import signed
from tests.issuer.store.helpers import events_in
from tests.support.keys import signer
from tocsin_issuer.exchange.request import TARGETS
from tocsin_schemas.token_exchange import ACCESS_TOKEN_TYPE, GRANT_TYPE, JWT_TYPE

MARK = "s3cr3t-m4rk"
JSON_TYPE = {"Content-Type": "application/json"}
GOOD_FORMS: dict[str, dict[str, str]] = {
    "public /oauth/token": {"grant_type": "client_credentials"},
    "internal /oauth/token": {
        "grant_type": GRANT_TYPE,
        "subject_token": "x",
        "subject_token_type": ACCESS_TOKEN_TYPE,
        "audience": "inventory",
    },
    "internal /oauth/revoke": {"token": "x"},
    "internal /oauth/introspect": {"token": "x"},
}
REQUIRED = [
    ("public /oauth/token", "grant_type"),
    ("internal /oauth/token", "grant_type"),
    ("internal /oauth/token", "subject_token"),
    ("internal /oauth/token", "subject_token_type"),
    ("internal /oauth/token", "audience"),
    ("internal /oauth/revoke", "token"),
    ("internal /oauth/introspect", "token"),
]
forms = pytest.mark.parametrize("where", GOOD_FORMS)


class Endpoints:
    """The OAuth endpoints, asked by a client that may ask them anything."""

    def __init__(self, issuer: Issuer, services: Services, secret: str) -> None:
        self.issuer = issuer
        self._listeners = {"public": issuer.public, "internal": services.http}
        self.auth = ("orders-service", secret)

    async def send(self, where: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        listener, _, path = where.partition(" ")
        return await self._listeners[listener].post(
            path, content=body, headers=headers, auth=self.auth
        )

    async def form(self, where: str, form: dict[str, str], *more: str) -> httpx.Response:
        body = "&".join([str(httpx.QueryParams(form)), *more])
        return await self.send(where, body.encode(), FORM)


@pytest.fixture
async def services(issuer: Issuer) -> AsyncIterator[Services]:
    async with open_services(issuer) as services:
        yield services


@pytest.fixture
async def endpoints(issuer: Issuer, services: Services) -> Endpoints:
    secret = services.secrets["orders-service"]
    await issuer.redis.hset(
        "tocsin:client:orders-service", "scopes", json.dumps(["tokens:introspect"])
    )
    return Endpoints(issuer, services, secret)


def error(answer: httpx.Response) -> tuple[int, str]:
    members = answer.json()
    assert set(members) == {"error", "error_description", "code"}
    assert MARK not in answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.status_code, members["error"]


@forms
async def test_the_good_ones_are_good(endpoints: Endpoints, where: str) -> None:
    """What the bad ones below differ from; ``x`` is no good token."""
    answer = await endpoints.form(where, GOOD_FORMS[where])
    if where == "internal /oauth/token":
        assert answer.json()["code"] == "subject_token_invalid"
    else:
        assert answer.status_code == 200, answer.text


@forms
@pytest.mark.parametrize(
    "kind", ["", "application/json", "multipart/form-data; boundary=x", "text/plain", "a/b;c"]
)
async def test_another_content_type(endpoints: Endpoints, where: str, kind: str) -> None:
    body = str(httpx.QueryParams(GOOD_FORMS[where])).encode()
    answer = await endpoints.send(where, body, {"Content-Type": kind})
    assert error(answer) == (400, "invalid_request"), "RFC 6749 section 5.2"
    assert answer.json()["code"] == "content_type"


@pytest.mark.parametrize(("where", "name"), REQUIRED)
async def test_a_parameter_that_is_missing_or_empty(
    endpoints: Endpoints, where: str, name: str
) -> None:
    """RFC 6749 section 3.1: a parameter without a value counts as left out."""
    form = {key: value for key, value in GOOD_FORMS[where].items() if key != name}
    for one in (form, {**form, name: ""}):
        assert error(await endpoints.form(where, one)) == (400, "invalid_request")


@forms
async def test_a_parameter_that_stands_twice(endpoints: Endpoints, where: str) -> None:
    """RFC 6749 section 3.2, whether or not it is known here, or the same both times."""
    form = GOOD_FORMS[where]
    for name, value in form.items():
        for more in (value, MARK, ""):
            answer = await endpoints.form(where, form, f"{name}={more}")
            wanted = "invalid_target" if name in TARGETS else "invalid_request"  # RFC 8693 2.1
            assert error(answer) == (400, wanted), name
    assert error(await endpoints.form(where, form, "a=1&a=1")) == (400, "invalid_request")


@forms
async def test_too_much(endpoints: Endpoints, where: str) -> None:
    form = GOOD_FORMS[where]
    large = "a" * CONFIG.max_body_bytes
    assert error(await endpoints.form(where, form, f"b={large}")) == (413, "invalid_request")
    many = "&".join(f"p{i}={i}" for i in range(40))
    assert error(await endpoints.form(where, form, many)) == (400, "invalid_request")
    for name in ("token", "subject_token", "client_assertion"):
        if name in form:
            answer = await endpoints.form(where, {**form, name: "a" * 8193})
            assert error(answer) == (400, "invalid_request")


@forms
async def test_bytes_that_are_no_form(endpoints: Endpoints, where: str) -> None:
    for body in (b"\xff\xfe", b"{}", b"a", b"token=%ff", b"=&=", MARK.encode()):
        assert error(await endpoints.send(where, body, FORM)) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("where", "grant"),
    [
        ("public /oauth/token", "password"),
        ("public /oauth/token", "authorization_code"),
        ("public /oauth/token", GRANT_TYPE),
        ("public /oauth/token", "Refresh_Token"),
        ("internal /oauth/token", "client_credentials"),
        ("internal /oauth/token", "refresh_token"),
        ("internal /oauth/token", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
    ],
)
async def test_a_grant_that_is_not_known_there(
    endpoints: Endpoints, where: str, grant: str
) -> None:
    answer = await endpoints.form(where, {**GOOD_FORMS[where], "grant_type": grant})
    assert error(answer) == (400, "unsupported_grant_type")


@forms
async def test_nobody_at_all(endpoints: Endpoints, where: str) -> None:
    endpoints.auth = ("orders-service", MARK)
    answer = await endpoints.form(where, GOOD_FORMS[where])
    assert error(answer) == (401, "invalid_client")
    assert answer.headers["WWW-Authenticate"].startswith("Basic")


# --- tokens in the wrong place ------------------------------------------------------------------


def _long_ago() -> dict[str, Any]:
    then = int(time.time()) - 7200
    return {"iat": then, "nbf": then, "exp": then + 600}


SUBJECTS: dict[str, Callable[[str], str]] = {
    "expired": lambda jti: signed(jti=jti, **_long_ago()),
    "not yet valid": lambda jti: signed(jti=jti, nbf=int(time.time()) + 3600),
    "without a type": lambda jti: signed(typ="JWT", jti=jti),
    "an ID token": lambda jti: signed(typ="id+jwt", jti=jti),
    "a logout token": lambda jti: signed(typ="logout+jwt", jti=jti),
    "a record of the ledger": lambda jti: signed(typ="secevent+jwt", jti=jti),
    "a client's assertion": lambda jti: signed(typ="client-authentication+jwt", jti=jti),
    "of another issuer": lambda jti: signed(jti=jti, iss="https://other.example"),
    "by another key": lambda jti: signed(signer("ES256", "a stranger"), jti=jti),
    "for another service": lambda jti: signed(jti=jti, aud="billing"),
    "never issued": lambda jti: signed(jti=jti + "x"),
    "cut off": lambda jti: signed(jti=jti)[:-10],
    "two of them": lambda jti: f"{signed(jti=jti)} {signed(jti=jti)}",
}


@pytest.mark.parametrize("name", SUBJECTS)
async def test_a_subject_token_that_is_no_good(
    endpoints: Endpoints, services: Services, issuer: Issuer, name: str
) -> None:
    """But for one, each was issued as it is, so that nothing else is wrong with it."""
    jti = (await services.minter.mint("alice", "first-party", ["orders"])).jti
    form = GOOD_FORMS["internal /oauth/token"]

    async def trade(text: str, kind: str) -> httpx.Response:
        changed = {**form, "subject_token": text, "subject_token_type": kind}
        return await endpoints.form("internal /oauth/token", changed)

    for kind in (ACCESS_TOKEN_TYPE, JWT_TYPE):
        good, bad = signed(jti=jti), SUBJECTS[name](jti)
        await enter(issuer, good)
        assert (await trade(good, kind)).status_code == 200
        if name != "never issued":
            await enter(issuer, bad)
        answer = await trade(bad, kind)
        assert error(answer) == (400, "invalid_request")
        assert answer.json()["code"] == "subject_token_invalid"


async def test_each_kind_of_token_in_the_place_of_another(
    endpoints: Endpoints, issuer: Issuer
) -> None:
    login = await log_in(issuer)
    access, refresh = login["access_token"], login["refresh_token"]
    exchange = {**GOOD_FORMS["internal /oauth/token"], "subject_token": refresh}
    assert error(await endpoints.form("internal /oauth/token", exchange)) == (
        400,
        "invalid_request",
    )
    answer = await endpoints.form("internal /oauth/introspect", {"token": refresh})
    assert answer.json() == {"active": False}
    assert error(await issuer.refresh(access)) == (400, "invalid_grant")
    for path in ("/v1/logout", "/v1/logout-all"):
        answer = await issuer.public.post(path, headers={"Authorization": f"Bearer {refresh}"})
        assert error(answer) == (401, "invalid_token")
    assert await events_in(issuer.outbox) == []
    assert (await issuer.refresh(refresh)).status_code == 200


async def test_a_revoked_subject_token(endpoints: Endpoints, issuer: Issuer) -> None:
    """From the moment that the revocation is accepted; nobody sequences here."""
    login = await log_in(issuer)
    exchange = {**GOOD_FORMS["internal /oauth/token"], "subject_token": login["access_token"]}
    assert (await endpoints.form("internal /oauth/token", exchange)).status_code == 200
    bearer = {"Authorization": f"Bearer {login['access_token']}"}
    assert (await issuer.public.post("/v1/logout", headers=bearer)).status_code == 202
    answer = await endpoints.form("internal /oauth/token", exchange)
    assert error(answer) == (400, "invalid_request")


async def test_another_client_s_refresh_token(endpoints: Endpoints, issuer: Issuer) -> None:
    """RFC 6749 section 6: it was issued to the first-party client; and it goes on working there."""
    login = await log_in(issuer)
    form = {"grant_type": "refresh_token", "refresh_token": login["refresh_token"]}
    answer = await endpoints.form("public /oauth/token", form)
    assert error(answer) == (400, "invalid_grant")
    answer = await endpoints.form("internal /oauth/revoke", {"token": login["refresh_token"]})
    assert error(answer) == (400, "unauthorized_client")
    assert await events_in(issuer.outbox) == []
    assert (await issuer.refresh(login["refresh_token"])).status_code == 200


# --- JSON ---------------------------------------------------------------------------------------

GOOD_JSON: dict[str, dict[str, Any]] = {
    "public /v1/login": {"username": "alice", "password": "correct horse"},
    "internal /admin/revocations": {"by": "session", "sid": "s"},
}


@pytest.mark.parametrize("where", GOOD_JSON)
async def test_json_that_is_refused(issuer: Issuer, where: str) -> None:
    headers = {**JSON_TYPE, **await issuer.operator("revocations:write")}
    listener, _, path = where.partition(" ")
    good = GOOD_JSON[where]
    text = json.dumps(good)
    first = next(iter(good))

    async def sent(body: str | bytes, **more: str) -> tuple[int, str]:
        client = issuer.public if listener == "public" else issuer.internal
        content = body.encode() if isinstance(body, str) else body
        answer = await client.post(path, content=content, headers={**headers, **more})
        assert answer.json()["code"]
        return error(answer)

    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        assert await sent(text, **{"Content-Type": kind}) == (415, "invalid_request")
    for body in (
        text[:-1],
        f'{{"{first}": 1, {text[1:]}',
        json.dumps({**good, MARK: 1}),
        json.dumps({key: value for key, value in good.items() if key != first}),
        json.dumps({**good, first: [good[first]]}),
        json.dumps({**good, first: None}),
        b"\xff" + text.encode(),
    ):
        assert await sent(body) == (400, "invalid_request"), body
    large = json.dumps({**good, "device_name": MARK * 2000})
    assert await sent(large) == (413, "invalid_request")
    assert await events_in(issuer.outbox) == []
