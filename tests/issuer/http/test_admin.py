"""The internal listener: by permission, with a token that is good as of now."""

import time
from typing import Any

import pytest

from tests.issuer.http.conftest import ISS, PERMISSIONS, SIGNER, Issuer, bearer
from tests.issuer.store.helpers import events_in, only_event
from tocsin_issuer.bus.command_service import CommandService
from tocsin_issuer.minting import Derivation
from tocsin_issuer.store.command_records import CommandRecords
from tocsin_schemas.events import (
    AllRevokedBefore,
    ClientRevokedBefore,
    KeyRevoked,
    SessionsRevoked,
    SubjectRevokedBefore,
    TokensRevoked,
)

ROUTES = [
    ("POST", "/admin/revocations", "revocations:write"),
    ("GET", "/admin/keys", "keys:read"),
    ("POST", "/admin/keys/rotate", "keys:write"),
    ("POST", f"/admin/keys/{SIGNER.kid}/revoke", "keys:write"),
]


@pytest.mark.parametrize(
    ("method", "path", "permission"), ROUTES, ids=[permission for _, _, permission in ROUTES]
)
async def test_each_route_asks_for_its_permission(
    issuer: Issuer, method: str, path: str, permission: str
) -> None:
    body: dict[str, Any] = {"json": {"by": "all"}} if "revocations" in path else {}
    missing = await issuer.internal.request(method, path, **body)
    assert (missing.status_code, missing.json()["code"]) == (401, "token_missing")
    assert missing.headers["WWW-Authenticate"] == "Bearer"

    forged = await issuer.internal.request(method, path, headers=bearer("a.b.c"), **body)
    assert (forged.status_code, forged.json()["error"]) == (401, "invalid_token")
    assert 'error="invalid_token"' in forged.headers["WWW-Authenticate"]

    others = [other for other in PERMISSIONS if other != permission]
    lacking = await issuer.internal.request(
        method, path, headers=await issuer.operator(*others), **body
    )
    assert (lacking.status_code, lacking.json()["error"]) == (403, "insufficient_scope")
    challenge = lacking.headers["WWW-Authenticate"]
    assert challenge == f'Bearer error="insufficient_scope", scope="{permission}"'
    assert await events_in(issuer.outbox) == []


@pytest.mark.parametrize(
    ("method", "path", "permission"), ROUTES, ids=[permission for _, _, permission in ROUTES]
)
async def test_without_a_lease_nobody_is_an_operator(
    issuer: Issuer, method: str, path: str, permission: str
) -> None:
    header = await issuer.operator(permission)
    issuer.stale = True
    body: dict[str, Any] = {"json": {"by": "all"}} if "revocations" in path else {}
    answer = await issuer.internal.request(method, path, headers=header, **body)
    assert (answer.status_code, answer.json()["code"]) == (503, "agent_stale")
    assert answer.headers["Retry-After"] == "7"


async def revoke(issuer: Issuer, header: dict[str, str], **body: object) -> Any:
    return await issuer.internal.post("/admin/revocations", json=body, headers=header)


async def test_a_token_by_its_text(issuer: Issuer) -> None:
    header = await issuer.operator()
    await issuer.alice()
    token = (await issuer.login())["access_token"]
    async with issuer.sequencing():
        answer = await revoke(issuer, header, by="token", token=token, reason="stolen")
    assert (answer.status_code, answer.json()["status"]) == (200, "committed")
    assert token not in answer.text


async def test_a_token_by_its_name(issuer: Issuer) -> None:
    exp = int(time.time()) + 60
    answer = await revoke(issuer, await issuer.operator(), by="token", jti="foreign id", exp=exp)
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    event = await only_event(issuer.outbox, TokensRevoked)
    assert (event.id, event.reason, event.initiator) == (
        answer.json()["event_id"],
        "admin",
        "admin",
    )
    assert [(rule.jti, rule.until) for rule in event.tokens] == [("foreign id", exp + 30)]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"by": "session", "sid": "some session"}, SessionsRevoked),
        ({"by": "subject", "sub": "somebody"}, SubjectRevokedBefore),
        ({"by": "client", "client_id": "some client"}, ClientRevokedBefore),
        ({"by": "all"}, AllRevokedBefore),
    ],
)
async def test_by_scope(issuer: Issuer, body: dict[str, str], kind: type[Any]) -> None:
    answer = await revoke(issuer, await issuer.operator(), reason="fraud", **body)
    assert answer.status_code == 202
    event = await only_event(issuer.outbox, kind)
    assert (event.reason, event.initiator) == ("fraud", "admin")
    names = [value for name, value in body.items() if name != "by"]
    assert all(name in str(event) for name in names)


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({"by": "subject"}, {"number": 1, "certainty": "exact"}),
        ({"by": "session"}, {"number": 1, "certainty": "exact"}),
        ({"by": "token"}, {"number": 1, "certainty": "at_least"}),
        ({"by": "client", "client_id": "first-party"}, {"number": 2, "certainty": "about"}),
        ({"by": "all"}, {"number": 2, "certainty": "about"}),
    ],
)
async def test_a_dry_run(issuer: Issuer, body: dict[str, str], tokens: dict[str, Any]) -> None:
    """It says how much would be hit: Alice's, and in the wider scopes the operator's own."""
    header = await issuer.operator()
    sub = await issuer.alice()
    login = await issuer.login()
    names = {"subject": "sub", "session": "sid", "token": "token"}
    values = {"sub": sub, "sid": login["session_id"], "token": login["access_token"]}
    if body["by"] in names:
        body = {**body, names[body["by"]]: values[names[body["by"]]]}
    answer = await revoke(issuer, header, dry_run=True, **body)
    assert (answer.status_code, answer.json()["status"]) == (200, "dry-run")
    assert answer.json()["tokens"] == tokens
    assert await events_in(issuer.outbox) == []
    assert (await issuer.refresh(login["refresh_token"])).status_code == 200


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "field_missing"),
        ({"by": "magic"}, "field_invalid"),
        ({"by": ["all"]}, "field_invalid"),
        ({"by": "session"}, "field_missing"),
        ({"by": "session", "sid": ""}, "field_invalid"),
        ({"by": "session", "sid": "s" * 256}, "field_invalid"),
        ({"by": "all", "sub": "x"}, "field_unknown"),
        ({"by": "all", "reason": "Free text, with names!"}, "field_invalid"),
        ({"by": "token"}, "field_invalid"),
        ({"by": "token", "jti": "x"}, "field_invalid"),
        ({"by": "token", "jti": "x", "exp": "5"}, "field_invalid"),
        ({"by": "token", "jti": "x", "exp": 2**50}, "field_invalid"),
        ({"by": "token", "jti": "x", "exp": 2**39}, "exp_too_late"),
        ({"by": "token", "jti": "x", "exp": 5, "token": "a.b.c"}, "field_invalid"),
        ({"by": "token", "token": "a.b.c"}, "not_a_token_of_ours"),
        ({"by": "all", "dry_run": "yes"}, "field_invalid"),
    ],
)
async def test_what_is_refused(issuer: Issuer, body: dict[str, Any], code: str) -> None:
    answer = await revoke(issuer, await issuer.operator(), **body)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert await events_in(issuer.outbox) == []


async def test_keys(issuer: Issuer) -> None:
    header = await issuer.operator()
    answer = await issuer.internal.get("/admin/keys", headers=header)
    assert answer.json() == {"keys": [{"kid": SIGNER.kid, "phase": "active"}]}
    answer = await issuer.internal.post("/admin/keys/rotate", headers=header)
    assert (answer.status_code, answer.json()) == (200, {"kid": "n" * 43})
    path = f"/admin/keys/{SIGNER.kid}/revoke"
    async with issuer.sequencing():
        answer = await issuer.internal.post(path, headers=header)
    assert (answer.status_code, answer.json()["status"]) == (200, "committed")
    answer = await issuer.internal.post(path, headers=header)
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    assert (await only_event(issuer.outbox, KeyRevoked)).kid == SIGNER.kid
    for kid, status in (("x" * 43, 404), ("short", 400)):
        answer = await issuer.internal.post(f"/admin/keys/{kid}/revoke", headers=header)
        assert answer.status_code == status


async def test_the_internal_listener_has_no_login(issuer: Issuer) -> None:
    for path in ("/v1/login", "/v1/logout", "/.well-known/jwks.json"):
        assert (await issuer.internal.post(path)).status_code == 404


async def test_a_token_for_another_service_opens_nothing_here(issuer: Issuer) -> None:
    """Any service that an operator calls has such a token, and could show it in their name."""
    await issuer.operator("keys:read")
    for_orders = (await issuer.login(username="root"))["access_token"]
    answer = await issuer.internal.get("/admin/keys", headers=bearer(for_orders))
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")


async def test_nor_does_one_of_a_service_that_acts_for_an_operator(issuer: Issuer) -> None:
    await issuer.operator("keys:read")
    own = (await issuer.login(username="root", audience=ISS))["access_token"]
    verified = issuer.verifier.verify(own)
    acting = await issuer.context.minter.mint(
        verified.subject,
        "orders-service",
        [ISS],
        sid=verified.session_id,
        scope="keys:read revocations:write",
        derivation=Derivation.of(verified, own, {"sub": "orders-service"}),
    )
    answer = await issuer.internal.get("/admin/keys", headers=bearer(acting.token))
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
    over_the_bus = CommandService(
        iss=ISS,
        verify=issuer.context.verify_admin,
        verify_own=issuer.context.verify_own,
        revoker=issuer.context.revoker,
        records=CommandRecords(issuer.redis, window_s=60),
        outbox=issuer.outbox,
        audit_log=issuer.audit_log,
        commit_wait_s=0.0,
        wall_clock=time.time,
    )
    reply = await over_the_bus.answer(b"{}", [f"Bearer {acting.token}"])
    assert (reply["status"], reply["code"]) == (401, "invalid_token")


async def test_a_login_is_for_the_usual_audiences_or_for_us(issuer: Issuer) -> None:
    await issuer.alice()
    tokens = await issuer.login(audience=ISS)
    again = (await issuer.refresh(tokens["refresh_token"])).json()
    for token in (tokens["access_token"], again["access_token"]):
        assert issuer.verifier.verify(token).claims["aud"] in (ISS, [ISS])
    body = {"username": "alice", "password": "correct horse", "audience": "billing"}
    answer = await issuer.public.post("/v1/login", json=body)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_target")
