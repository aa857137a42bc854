"""What requests leave in the audit log, and what never gets there."""

import logging
import time
from ipaddress import ip_network
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.issuer.conftest import CountingHasher
from tests.issuer.http.conftest import CONFIG, PERMISSIONS, Issuer, bearer
from tests.issuer.store.helpers import events_in
from tocsin_issuer.store.audit_log import ACTS, REFUSALS

PASSWORD = "correct horse"


async def entries(issuer: Issuer, of: str, action: str = "") -> list[dict[str, Any]]:
    """Oldest first."""
    await issuer.audit_log.aclose()
    found = (await issuer.audit_log.page(of, 500)).entries[::-1]
    return [one for one in found if action in ("", one["action"])]


async def test_logins(issuer: Issuer) -> None:
    sub = await issuer.alice()
    login = await issuer.login()
    (done,) = await entries(issuer, ACTS)
    assert done["request_id"]
    assert (done["action"], done["outcome"], done["actor"]) == ("login", "ok", sub)
    assert (done["target"], done["client_id"]) == (login["session_id"], "first-party")
    assert done["address"] == "127.0.0.1"

    for name in ("alice", "my-secret-typed-as-a-name"):
        body = {"username": name, "password": "a wrong one"}
        answer = await issuer.public.post("/v1/login", json=body)
        assert answer.status_code == 401
        assert answer.headers["X-Request-Id"]
    known, unknown = await entries(issuer, REFUSALS, "login")
    assert (known["outcome"], known["actor"]) == ("invalid_grant", sub)
    assert "actor" not in unknown
    assert known["request_id"] != unknown["request_id"] == answer.headers["X-Request-Id"]


async def test_the_address_is_the_one_that_a_trusted_proxy_names(
    redis: Redis, hasher: CountingHasher
) -> None:
    proxies = {"trusted_proxies": (ip_network("127.0.0.1/32"),)}
    issuer = Issuer(redis, hasher, CONFIG.model_copy(update=proxies))
    header = await issuer.operator("keys:write")
    via = {"X-Forwarded-For": "203.0.113.9, 192.0.2.1"}
    await issuer.internal.post("/admin/keys/rotate", headers={**header, **via})
    await issuer.public.post("/v1/login", json={"username": "x", "password": "x"}, headers=via)
    found = await entries(issuer, ACTS, "key.rotate") + await entries(issuer, REFUSALS, "login")
    assert [one["address"] for one in found] == ["192.0.2.1", "192.0.2.1"]
    await issuer.aclose()


async def test_tokens(issuer: Issuer) -> None:
    """A client's login is entered; a refresh is where it is refused."""
    await issuer.alice()
    first = (await issuer.login())["refresh_token"]
    assert (await issuer.refresh(first)).status_code == 200
    assert (await issuer.refresh(first)).status_code == 400
    assert [one["outcome"] for one in await entries(issuer, REFUSALS)] == ["invalid_grant"]

    secret = await issuer.clients.create("reports", ["orders"])
    form = {"grant_type": "client_credentials"}
    for given in (secret, "wrong"):
        await issuer.public.post("/oauth/token", data=form, auth=("reports", given))
    (done,) = await entries(issuer, ACTS, "token.client")
    assert (done["client_id"], done["outcome"]) == ("reports", "ok")
    refused = (await entries(issuer, REFUSALS))[-1]
    assert (refused["outcome"], refused["action"]) == ("invalid_client", "token")


async def test_admin_calls(issuer: Issuer) -> None:
    header = await issuer.operator("revocations:write", "audit:read")
    root = await issuer.users.sub_of("root")
    url = "/admin/revocations"
    body = {"by": "subject", "sub": "somebody", "reason": "fraud"}
    answer = await issuer.internal.post(url, json=body, headers=header)
    (done,) = await entries(issuer, ACTS, "revocation")
    assert (done["actor"], done["target"]) == (root, "subject somebody")
    assert (done["outcome"], done["event_id"]) == ("pending", answer.json()["event_id"])
    assert done["request_id"] == answer.headers["X-Request-Id"]

    await issuer.internal.post(url, json={"by": "magic"}, headers=header)
    await issuer.internal.post(url, json=body)
    await issuer.internal.get("/admin/keys", headers=header)
    refused = [(one["action"], one["outcome"]) for one in await entries(issuer, REFUSALS)]
    assert refused == [
        ("revocation", "request_invalid"),
        ("revocation", "token_missing"),
        ("key.list", "insufficient_scope"),
    ]

    answer = await issuer.internal.get("/admin/audit-log?of=refusals&limit=2", headers=header)
    first = answer.json()
    assert [one["action"] for one in first["entries"]] == ["key.list", "revocation"]
    query = {"of": "refusals", "limit": "2", "cursor": first["cursor"]}
    second = await issuer.internal.get("/admin/audit-log", params=query, headers=header)
    assert [one["outcome"] for one in second.json()["entries"]] == ["request_invalid"]
    assert await entries(issuer, ACTS, "audit.read") == []  # looking is no act
    for bad in ("of=all", "limit=0", "cursor=x"):
        answer = await issuer.internal.get(f"/admin/audit-log?{bad}", headers=header)
        assert answer.status_code == 400, bad


async def test_an_admin_call_is_in_the_log_before_it_is_answered(issuer: Issuer) -> None:
    """The server holds back writes for a moment, and so does the answer."""
    pause_ms = 300
    await issuer.redis.client_pause(pause_ms, all=False)
    started = time.monotonic()
    answer = await issuer.internal.get("/admin/keys")
    assert answer.status_code == 401
    assert time.monotonic() - started > 0.8 * pause_ms / 1000
    (entry,) = (await issuer.audit_log.page(REFUSALS, 10)).entries
    assert entry["outcome"] == "token_missing"


async def test_no_secret_gets_there(issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "httpx")  # the client logs the URL, here with a token in it
    header = await issuer.operator(*PERMISSIONS, "audit:read")
    await issuer.alice()
    login = await issuer.login()
    secret = await issuer.clients.create("reports", ["orders"])
    form = {"grant_type": "client_credentials"}
    await issuer.public.post("/oauth/token", data=form, auth=("reports", secret))
    body = {"by": "token", "token": login["access_token"]}
    await issuer.internal.post("/admin/revocations", json=body, headers=header)
    await issuer.internal.post(f"/admin/keys/{login['access_token']}/revoke", headers=header)
    await issuer.internal.get("/admin/keys", headers=bearer(login["access_token"]))
    await issuer.refresh(login["refresh_token"])
    await issuer.refresh(login["refresh_token"])
    text = str([await entries(issuer, of) for of in (ACTS, REFUSALS)])
    assert "u_" in text
    own = header["Authorization"].split()[1]
    for hidden in (PASSWORD, secret, login["access_token"], login["refresh_token"], own):
        assert hidden not in text


async def test_tokens_given_back_and_looked_at(issuer: Issuer) -> None:
    """A revocation is an act; a look is entered where it is refused; a user's logout is an act."""
    secret = await issuer.clients.create("reports", ["orders"])
    form = {"grant_type": "client_credentials"}
    auth = ("reports", secret)
    token = (await issuer.public.post("/oauth/token", data=form, auth=auth)).json()["access_token"]
    await issuer.internal.post("/oauth/introspect", data={"token": token}, auth=auth)
    answer = await issuer.internal.post("/oauth/revoke", data={"token": token}, auth=auth)
    assert (answer.status_code, answer.json()["code"]) == (503, "commit_pending")
    (done,) = await entries(issuer, ACTS, "token.revoke")
    assert (done["client_id"], done["outcome"]) == ("reports", "pending")
    assert done["event_id"] == (await events_in(issuer.outbox))[0].id
    (refused,) = await entries(issuer, REFUSALS, "token.introspect")
    assert (refused["client_id"], refused["outcome"]) == ("reports", "unauthorized_client")

    sub = await issuer.alice()
    login = await issuer.login()
    await issuer.public.post("/v1/logout", headers=bearer(login["access_token"]))
    (done,) = await entries(issuer, ACTS, "logout")
    assert (done["actor"], done["target"]) == (sub, login["session_id"])
