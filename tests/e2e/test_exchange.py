"""Orders calls inventory in a user's name, and the user's logout ends both everywhere."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import Stack
from tests.support.keys import public_jwk, signer
from tests.support.rejected import rejected
from tests.support.stack import running_stack
from tocsin_issuer.exchange.policy_file import LOOK_S, POLICY_NAME
from tocsin_schemas import jws
from tocsin_schemas.client_assertion import ASSERTION_TYPE
from tocsin_schemas.errors import TokenRejected
from tocsin_schemas.token_exchange import ACCESS_TOKEN_TYPE, GRANT_TYPE

POLICY = """
[clients.orders-service]
receives = ["orders"]

[clients.orders-service.targets.inventory]
scopes = ["inventory:read"]

[clients.inventory-service]
receives = ["inventory"]

[clients.inventory-service.targets.warehouse]
"""
Pair = tuple[str, str]
ORDERS_KEY = signer("ES256", "orders-service")


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    async with running_stack(tmp_path) as running:
        (tmp_path / ".tocsin" / "issuer" / POLICY_NAME).write_text(POLICY)
        await asyncio.sleep(LOOK_S)
        clients = running.development.service.accounts.clients
        await clients.create_with_keys(
            "orders-service", ["orders"], jwks={"keys": [public_jwk(ORDERS_KEY)]}
        )
        yield running


def assertion(stack: Stack) -> dict[str, str]:
    now = time.time()
    claims = {
        "iss": "orders-service",
        "sub": "orders-service",
        "aud": stack.development.service.config.iss,
        "exp": int(now) + 60,
        "jti": f"at {now}",
    }
    return {
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": jws.sign_compact(claims, ORDERS_KEY, "JWT"),
    }


async def ask(stack: Stack, path: str, auth: Pair | None = None, **form: str) -> httpx.Response:
    """As ``orders-service``, unless other credentials are given."""
    url = stack.development.internal_url + path
    if auth is None:
        return await stack.http.post(url, data={**form, **assertion(stack)})
    return await stack.http.post(url, data=form, auth=auth)


async def trade(
    stack: Stack, token: str, audience: str, auth: Pair | None = None
) -> httpx.Response:
    return await ask(
        stack,
        "/oauth/token",
        auth,
        grant_type=GRANT_TYPE,
        subject_token=token,
        subject_token_type=ACCESS_TOKEN_TYPE,
        audience=audience,
    )


async def test_a_logout_ends_the_traded_token_too(stack: Stack) -> None:
    login = await stack.log_in()
    answer = await trade(stack, login["access_token"], "inventory")
    assert answer.status_code == 200, answer.text
    traded = answer.json()
    secret = await stack.development.service.accounts.clients.create(
        "inventory-service", ["inventory"]
    )
    further = await trade(stack, traded["access_token"], "warehouse", ("inventory-service", secret))
    assert further.status_code == 200, further.text
    async with stack.agent() as orders, stack.agent("inventory") as inventory:
        verified = inventory.verify(traded["access_token"])
        assert verified.permissions == {"inventory:read"}
        assert verified.claims["act"]["sub"] == "orders-service"
        assert verified.subject == orders.verify(login["access_token"]).subject
        with pytest.raises(TokenRejected) as caught:
            orders.verify(traded["access_token"])
        assert caught.value.code == "aud"

        answer = await stack.post("/v1/logout", login["access_token"])
        assert answer.status_code == 200
        assert await rejected(orders, login["access_token"]) == "session_revoked"
        assert await rejected(inventory, traded["access_token"]) == "session_revoked"
    for token, audience, auth in (
        (login["access_token"], "inventory", None),
        (traded["access_token"], "warehouse", ("inventory-service", secret)),
    ):
        answer = await trade(stack, token, audience, auth)
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_a_revoked_subject_token_takes_the_traded_one_along(stack: Stack) -> None:
    """By its jti alone, which the traded token has as its origin; the session goes on."""
    login = await stack.log_in()
    traded = (await trade(stack, login["access_token"], "inventory")).json()["access_token"]
    async with stack.agent("inventory") as inventory:
        inventory.verify(traded)
        body: dict[str, object] = {"by": "token", "token": login["access_token"]}
        assert (await stack.admin("POST", "/admin/revocations", body)).status_code == 200
        assert await rejected(inventory, traded) == "token_revoked"


async def test_an_operator_sees_what_is_allowed(stack: Stack) -> None:
    path = stack.folder / ".tocsin" / "issuer" / POLICY_NAME
    for text, failure in ((POLICY, None), (POLICY + "[", "exchange_policy_malformed")):
        path.write_text(text)
        await asyncio.sleep(LOOK_S)
        answer = await stack.admin("GET", "/admin/exchange-policy")
        assert answer.status_code == 200, answer.text
        assert answer.json()["failure"] == failure
        assert set(answer.json()["clients"]) == {"orders-service", "inventory-service"}
    url = f"{stack.development.internal_url}/admin/exchange-policy"
    assert (await stack.http.get(url)).status_code == 401
    user = (await stack.log_in())["access_token"]
    answer = await stack.http.get(url, headers={"Authorization": f"Bearer {user}"})
    assert answer.status_code == 401  # it is for other services


async def test_a_service_gives_its_token_back(stack: Stack) -> None:
    """RFC 7009, into the ledger; the subject token is another client's, and stays."""
    login = await stack.log_in()
    traded = (await trade(stack, login["access_token"], "inventory")).json()["access_token"]
    async with stack.agent() as orders, stack.agent("inventory") as inventory:
        refused = await ask(stack, "/oauth/revoke", token=login["access_token"])
        assert (refused.status_code, refused.json()["error"]) == (400, "unauthorized_client")
        inventory.verify(traded)
        answer = await ask(stack, "/oauth/revoke", token=traded)
        assert (answer.status_code, answer.json()["status"]) == (200, "committed")
        assert await rejected(inventory, traded) == "token_revoked"
        orders.verify(login["access_token"])
        length = stack.development.service.replica.head
        again = await ask(stack, "/oauth/revoke", token=traded)
        assert (again.status_code, again.json()["event_id"]) == (200, None)
        assert stack.development.service.replica.head == length, "nothing is said twice"
