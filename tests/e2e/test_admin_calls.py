"""Every route of the internal listener, walked: who may call it, and that nobody else may."""

from __future__ import annotations

import httpx

from tests.e2e.conftest import Stack
from tests.support.routes import routes_of
from tocsin_issuer.http.admin_calls import ADMIN_CALLS, ADMINISTRATIVE, BY_CLIENT, OPEN


async def token_with(stack: Stack, name: str, scopes: list[str]) -> dict[str, str]:
    """The header of a new client that has these scopes."""
    service = stack.development.service
    secret = await service.accounts.clients.create(name, [service.config.iss], scopes)
    answer = await stack.http.post(
        stack.development.public_url + "/oauth/token",
        data={"grant_type": "client_credentials"},
        auth=(name, secret),
    )
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


async def test_every_route_is_known_and_refuses_without_its_scope(stack: Stack) -> None:
    walked = set(routes_of(stack.development.service.internal_app.routes))
    assert walked == set(ADMIN_CALLS) | BY_CLIENT | OPEN
    assert {call.scope for call in ADMIN_CALLS.values()} <= ADMINISTRATIVE

    lacking = {
        scope: await token_with(stack, f"lacks-{scope}".replace(":", "-"), others)
        for scope in {call.scope for call in ADMIN_CALLS.values()}
        for others in [sorted(ADMINISTRATIVE - {scope})]
    }

    async def call(method: str, path: str, header: dict[str, str]) -> httpx.Response:
        url = stack.development.internal_url + path.replace("{", "").replace("}", "")
        return await stack.http.request(method, url, headers=header)

    for (method, path), wanted in ADMIN_CALLS.items():
        for header, status, code in (
            ({}, 401, "token_missing"),
            ({"Authorization": "Bearer a.b.c"}, 401, "invalid_token"),
            (lacking[wanted.scope], 403, "insufficient_scope"),
        ):
            answer = await call(method, path, header)
            found = (answer.status_code, answer.json()["code"])
            assert found == (status, code), (method, path, answer.text)
        challenge = answer.headers["WWW-Authenticate"]
        assert challenge == f'Bearer error="insufficient_scope", scope="{wanted.scope}"'

    for method, path in BY_CLIENT:
        answer = await stack.http.request(
            method,
            stack.development.internal_url + path,
            data={"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "token": "x"},
            auth=("nobody", "nothing"),
        )
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client"), path
