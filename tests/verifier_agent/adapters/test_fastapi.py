"""FastAPI: what the OpenAPI document says, and what Security(…, scopes=[…]) demands."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.support.stack import Stack
from tests.verifier_agent.adapters.asgi_driver import finished, websocket
from tests.verifier_agent.adapters.conftest import Tokens
from tests.verifier_agent.adapters.contract import FORBIDDEN, NO_TOKEN
from tests.verifier_agent.adapters.fastapi_app import fastapi_app, mounting_app, websocket_app
from tests.verifier_agent.adapters.http_adapters import http_answer
from tocsin_verifier_agent import VerifierAgent

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def document(live: VerifierAgent) -> dict[str, Any]:
    found: dict[str, Any] = fastapi_app(live).openapi()
    return found


async def test_the_security_scheme_is_a_bearer_jwt(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    schemes = document["components"]["securitySchemes"]
    assert schemes == {"tocsin": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}


async def test_exactly_the_protected_operations_demand_it_with_their_permissions(
    document: dict[str, Any],
) -> None:
    """OpenAPI 3.1: for a scheme other than oauth2 the array may list role names."""
    security = {
        (method, path): operation.get("security")
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    assert security == {
        ("get", "/healthz"): None,
        ("get", "/orders"): [{"tocsin": ["orders:read"]}],
        ("post", "/orders"): [{"tocsin": ["orders:write"]}],
        ("get", "/admin"): [{"tocsin": ["orders:admin"]}],
        ("get", "/audit"): [{"tocsin": ["orders:audit", "orders:read"]}],
        ("get", "/money"): [{"tocsin": ["orders:read"]}],
        ("get", "/anybody"): [{"tocsin": []}],
    }
    assert "security" not in document


async def test_it_asks_for_no_parameter_and_no_body(document: dict[str, Any]) -> None:
    for operations in document["paths"].values():
        for operation in operations.values():
            assert "parameters" not in operation
            assert "requestBody" not in operation


async def test_refusals_are_documented_where_asked_for(document: dict[str, Any]) -> None:
    responses = document["paths"]["/orders"]["get"]["responses"]
    assert set(responses) == {"200", "401", "403", "503"}
    assert set(responses["503"]["headers"]) == {"Retry-After"}
    schema = responses["401"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["error", "error_description"]


async def test_scopes_of_security_are_demanded_and_not_only_documented(
    live: VerifierAgent, tokens: Tokens
) -> None:
    transport = httpx.ASGITransport(app=fastapi_app(live))
    headers = {"Authorization": f"Bearer {tokens.good}"}
    only_read = {"Authorization": f"Bearer {tokens.expiring(60)}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://orders") as client:
        assert (await client.post("/orders", headers=headers)).status_code == 200
        answer = await client.post("/orders", headers=only_read)
        assert (answer.status_code, answer.json()["error_description"]) == (
            403,
            "this needs orders:write",
        )
        answer = await client.get("/audit", headers=headers)
        assert (answer.status_code, answer.json()["error_description"]) == (
            403,
            "this needs orders:audit orders:read",
        )
        assert (await client.get("/anybody", headers=headers)).status_code == 200
        assert (await client.get("/anybody")).status_code == 401


async def test_a_websocket_route_may_require_too(live: VerifierAgent, tokens: Tokens) -> None:
    app = websocket_app(live)
    scope: dict[str, Any] = {"query_string": b"", "subprotocols": [], "client": None, "state": {}}
    good = websocket(app, tokens.good, "/follow", **scope)
    assert (await good.until("websocket.send"))["text"] == "hello u_"
    good.put({"type": "websocket.disconnect", "code": 1000})
    await finished(good)
    refused = websocket(app, tokens.good, "/admin", **scope)
    await finished(refused)
    assert refused.sent == [
        {"type": "websocket.close", "code": 1008, "reason": "insufficient_scope"}
    ]


async def test_a_mounted_application_answers_as_the_middleware_does(
    live: VerifierAgent, tokens: Tokens
) -> None:
    app = mounting_app(live)
    headers = {"Authorization": f"Bearer {tokens.good}"}
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://orders") as client:
        assert http_answer(await client.get("/v1/admin", headers=headers)) == FORBIDDEN
        assert http_answer(await client.get("/v1/admin")) == NO_TOKEN
    scope: dict[str, Any] = {"query_string": b"", "subprotocols": [], "client": None, "state": {}}
    refused = websocket(app, tokens.good, "/v1/follow", **scope)
    await finished(refused)
    assert refused.sent == [
        {"type": "websocket.close", "code": 1008, "reason": "insufficient_scope"}
    ]


async def test_without_the_middleware_nothing_is_let_in(shared: Stack) -> None:
    from fastapi import Depends, FastAPI

    from tocsin_verifier_agent.fastapi import require

    app = FastAPI()
    app.get("/orders", dependencies=[Depends(require("orders:read"))])(lambda: {})
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://orders") as client:
        assert (await client.get("/orders")).status_code == 500
