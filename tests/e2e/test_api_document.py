"""The OpenAPI documents say of each route who may call it, with what, and what comes back."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from tests.support.routes import routes_of
from tests.support.stack import Stack
from tocsin_issuer.http.documented import DocumentedApp
from tocsin_issuer.http.server import Listener
from tocsin_issuer.http.strict_body import FORM

DOCUMENT = "/openapi.json"
NO_STORE = {
    "/healthz",
    "/metrics",
    "/asyncapi.json",
    "/.well-known/jwks.json",
    "/.well-known/jwks.pem",
}
METADATA = "/.well-known/oauth-authorization-server"


def operations_of(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


def gaps(operation: dict[str, Any], name: tuple[str, str]) -> list[str]:
    """What the document leaves open."""
    found = []
    responses = operation["responses"]
    if "security" not in operation:
        found.append("who may call")
    if "422" in responses or not operation.get("summary"):
        found.append("FastAPI's own words")
    body = operation.get("requestBody", {}).get("content", {})
    wanted = {"400", "408", "413"} if body else set()
    if FORM in body:  # RFC 6749 section 5.2 knows no 415
        found += sorted({"415"} & set(responses))
    elif body:
        wanted.add("415")
    wanted |= {"400"} if operation.get("parameters") else set()
    wanted |= {"401"} if operation.get("security") else set()
    wanted |= {"503"} if name[1] not in NO_STORE | {METADATA} else set()
    found += sorted(wanted - set(responses))
    for status, response in responses.items():
        for media, content in response.get("content", {"no body": {}}).items():
            if not content.get("schema"):
                found.append(f"{status} {media}")
    for media, content in body.items():
        if not content.get("schema"):
            found.append(f"request {media}")
    return found


async def test_every_route_is_documented_in_full(stack: Stack) -> None:
    service = stack.development.service
    urls = (stack.development.public_url, stack.development.internal_url)
    found: list[set[tuple[str, str]]] = []
    listeners = [one for one in service._listeners if isinstance(one, Listener)]
    for listener, url in zip(listeners, urls, strict=True):
        app = listener._server.config.app
        assert isinstance(app, FastAPI)
        found.append(set(routes_of(app.routes)) - {("GET", DOCUMENT)})
        document = (await stack.http.get(url + DOCUMENT)).json()
        operations = operations_of(document)
        assert set(operations) == found[-1]
        assert {name: left for name, one in operations.items() if (left := gaps(one, name))} == {}
        schemes = document["components"]["securitySchemes"]
        for operation in operations.values():
            assert {name for one in operation["security"] for name in one} <= set(schemes)
    assert ("POST", "/v1/login") in found[0]
    assert ("POST", "/admin/users") in found[1]


def test_a_route_that_says_nothing_of_itself_is_seen() -> None:
    app = DocumentedApp(title="x")

    @app.get("/silent/{name}")
    async def silent(name: str) -> dict[str, str]:
        return {}

    @app.get("/hidden", include_in_schema=False)
    async def hidden() -> None:
        return None

    operations = operations_of(app.openapi())
    silent_route, hidden_route = ("GET", "/silent/{name}"), ("GET", "/hidden")
    assert gaps(operations[silent_route], silent_route) == ["who may call", "503"]
    assert hidden_route in set(routes_of(app.routes))
    assert hidden_route not in operations
