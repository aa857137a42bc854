"""Metrics of what callers ask for, who may read them, and what never stands in a label."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Stack
from tests.support.commands import send_command
from tests.support.scrape import Seen, scrape
from tests.support.stack import running_stack
from tocsin_issuer.exchange.policy_file import LOOK_S, POLICY_NAME
from tocsin_schemas.keyset import Policy
from tocsin_schemas.token_exchange import ACCESS_TOKEN_TYPE, GRANT_TYPE
from tocsin_verifier_agent import VerifierAgent

POLICY = """
[clients.orders-service]
receives = ["orders"]

[clients.orders-service.targets.inventory]
scopes = ["orders:read"]
"""
CLIENT = "orders-service"
NAMES_OF_OURS = re.compile(r"|[a-z_.]+|[a-z-]+|[1-5]xx|\+Inf|[0-9.]+|/[a-z0-9_./{}-]*")


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    async with running_stack(tmp_path, Policy(heartbeat_ms=200)) as running:  # never stale here
        (tmp_path / ".tocsin" / "issuer" / POLICY_NAME).write_text(POLICY)
        await asyncio.sleep(LOOK_S)
        yield running


@pytest.fixture
async def secret(stack: Stack) -> str:
    """Of the client that may trade tokens."""
    return await stack.development.service.accounts.clients.create(
        CLIENT, ["orders"], ["orders:read"]
    )


async def public(stack: Stack, path: str, **request: Any) -> httpx.Response:
    return await stack.http.post(stack.development.public_url + path, **request)


async def refresh(stack: Stack, token: str, **more: str) -> httpx.Response:
    form = {"grant_type": "refresh_token", "refresh_token": token, **more}
    return await public(stack, "/oauth/token", data=form)


async def trade(stack: Stack, token: str, audience: str, secret: str) -> httpx.Response:
    form = {
        "grant_type": GRANT_TYPE,
        "subject_token": token,
        "subject_token_type": ACCESS_TOKEN_TYPE,
        "audience": audience,
    }
    url = stack.development.internal_url + "/oauth/token"
    return await stack.http.post(url, data=form, auth=(CLIENT, secret))


async def fail_to_log_in(stack: Stack, name: str) -> httpx.Response:
    return await public(stack, "/v1/login", json={"username": name, "password": "a wrong one"})


def actions(seen: Seen, action: str) -> dict[str, float]:
    """How often each outcome came."""
    return {
        dict(labels)["outcome"]: value
        for (name, labels), value in seen.figures.items()
        if name == "actions_total" and dict(labels)["action"] == action
    }


async def test_tokens_by_grant(stack: Stack, secret: str) -> None:
    login = await stack.log_in()
    assert (await refresh(stack, login["refresh_token"])).status_code == 200
    form = {"grant_type": "client_credentials"}
    assert (await public(stack, "/oauth/token", data=form, auth=(CLIENT, secret))).is_success
    assert (await trade(stack, login["access_token"], "inventory", secret)).status_code == 200
    seen = await scrape(stack)
    for action in ("login", "token.refresh", "token.client", "token.exchange"):
        assert actions(seen, action) == {"ok": 1}, action

    assert (await trade(stack, login["access_token"], "billing", secret)).status_code == 400
    assert (await trade(stack, "a.b.c", "inventory", secret)).status_code == 400
    assert (
        await trade(stack, login["access_token"], "inventory", "another-secret-than-that-of-orders")
    ).status_code == 401
    assert actions(await scrape(stack), "token.exchange") == {
        "ok": 1,
        "invalid_target": 1,
        "subject_token_invalid": 1,
        "invalid_client": 1,
    }


async def test_logins_that_are_refused_and_throttled(stack: Stack) -> None:
    statuses = [(await fail_to_log_in(stack, "bob")).status_code for _ in range(13)]
    refused, throttled = statuses.count(401), statuses.count(429)
    assert refused > 0 < throttled
    assert actions(await scrape(stack), "login") == {
        "invalid_grant": refused,
        "too_many_attempts": throttled,
    }


async def test_refresh_tokens_that_come_again(stack: Stack) -> None:
    login = await stack.log_in()
    assert not (await scrape(stack)).has("refresh_misuse_total")
    used = login["refresh_token"]
    following = (await refresh(stack, used)).json()["refresh_token"]
    assert (await refresh(stack, following)).status_code == 200
    assert (await refresh(stack, used)).json()["code"] == "invalid_grant"
    seen = await scrape(stack)
    assert seen("refresh_misuse_total", how="reused") == 1
    assert actions(seen, "token.refresh") == {"ok": 2, "invalid_grant": 1}

    name = stack.secrets.username
    body = {"username": name, "password": stack.secrets.password, "device_id": "d" * 22}
    bound = (await public(stack, "/v1/login", json=body)).json()["refresh_token"]
    assert (await refresh(stack, bound, device_id="e" * 22)).status_code == 400
    assert (await scrape(stack))("refresh_misuse_total", how="other_device") == 1


async def test_commands_over_the_bus(stack: Stack) -> None:
    answer = await send_command(stack, {"revoke": {"by": "subject", "sub": "u_x"}}, "a.b.c")
    assert answer["status"] == 401
    assert sum(actions(await scrape(stack), "revocation.command").values()) == 1


async def test_requests(stack: Stack) -> None:
    def answered(seen: Seen, listener: str, route: str, status: str) -> float:
        return seen("http_requests_total", listener=listener, route=route, status=status)

    before = await scrape(stack)
    for path in ("/healthz", "/v1/sessions", "/admin/users", "/somewhere/else"):
        await stack.http.get(stack.development.public_url + path)
        await stack.http.get(stack.development.internal_url + path)
    await stack.admin("POST", f"/admin/users/{'u' * 20}/disable")
    seen = await scrape(stack)
    for listener, route, status in (
        ("public", "/healthz", "2xx"),
        ("public", "/v1/sessions", "4xx"),
        ("public", "/oauth/token", "2xx"),
        ("internal", "/admin/users", "4xx"),
        ("internal", "/admin/users/{sub}/disable", "4xx"),
    ):
        moved = answered(seen, listener, route, status) - answered(before, listener, route, status)
        assert moved == 1, route
    assert answered(seen, "public", "unknown", "4xx") == 2
    assert answered(seen, "internal", "unknown", "4xx") == 2
    assert answered(seen, "internal", "/metrics", "2xx") == 1  # the one before


async def test_the_public_listener_has_none(stack: Stack) -> None:
    answer = await stack.http.get(stack.development.public_url + "/metrics")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def flood(stack: Stack, agent: VerifierAgent, secret: str, number: int) -> set[str]:
    """Whatever callers choose, or have, each time another; what of it names somebody."""
    mark = f"x{number}marked"
    login = await stack.log_in()
    token = login["access_token"]
    claims = agent.verify(token).claims
    client_secret = await stack.development.service.accounts.clients.create(mark, [mark])
    for path in (f"/{mark}", f"/v1/sessions/{mark}", f"/v1/login?{mark}"):
        await stack.http.request(
            "DELETE", stack.development.public_url + path, headers={"X-Forwarded-For": mark}
        )
    await fail_to_log_in(stack, mark)
    await trade(stack, token, mark, secret)
    await trade(stack, mark, "inventory", secret)
    await public(stack, "/oauth/token", data={"grant_type": mark}, auth=(mark, client_secret))
    await public(stack, "/oauth/token", data={"grant_type": mark}, auth=(mark, mark))
    await refresh(stack, login["refresh_token"])
    await refresh(stack, login["refresh_token"])
    asked: list[dict[str, object]] = [{"by": "subject", "sub": mark, "reason": mark}, {"by": mark}]
    for members in asked:
        await stack.admin("POST", "/admin/revocations", members)
        await send_command(stack, {"revoke": members}, await stack.operator_token())
    await stack.admin("POST", f"/admin/keys/{mark}/revoke")
    await stack.admin("POST", f"/admin/users/{mark}/disable")
    await stack.post("/v1/logout", token)
    return {mark, token, *(str(claims[name]) for name in ("jti", "sub", "sid"))}


async def test_no_label_names_anybody(stack: Stack, secret: str) -> None:
    """And a flood of names makes no new series."""
    keyset = stack.development.service.replica.trust.keyset
    assert keyset is not None
    identifiers = {CLIENT, "operator", "127.0.0.1", "first-party", stack.secrets.username}
    identifiers |= {key.kid for key in keyset.keys}
    await scrape(stack)  # which is counted as well
    async with stack.agent() as agent:
        identifiers |= await flood(stack, agent, secret, 0)
        few = await scrape(stack)
        for number in range(1, 4):
            identifiers |= await flood(stack, agent, secret, number)
    many = await scrape(stack)
    assert {name for name in identifiers if name in many.text} == set()
    assert {value for value in many.label_values() if not NAMES_OF_OURS.fullmatch(value)} == set()
    assert few.figures.keys() == many.figures.keys()
    assert many("refresh_misuse_total", how="reused") == 4
