"""Each class of error that can leave a route, on a route that it does leave: status and code are
those that are documented. And there is no class of which nobody has said what becomes of it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import orjson
import pytest
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from redis.exceptions import ResponseError
from starlette.exceptions import HTTPException
from starlette.responses import Response

import tocsin_issuer
import tocsin_revocation_bus
import tocsin_schemas
import tocsin_verifier_agent
from tests.issuer.http.conftest import ISS, Issuer, bearer
from tests.issuer.http.exchange_services import FORM
from tocsin_issuer.http import create_internal_app, create_public_app
from tocsin_issuer.http.errors import InsufficientScope
from tocsin_issuer.http.strict_body import ParameterRepeated
from tocsin_issuer.revoking.request import MAX_EXP
from tocsin_issuer.store import names
from tocsin_issuer.store.throttle import Throttled
from tocsin_schemas.errors import (
    AgentStale,
    LedgerRejected,
    RequestRejected,
    TocsinError,
    TokenRejected,
)

PACKAGES = (tocsin_schemas, tocsin_revocation_bus, tocsin_verifier_agent, tocsin_issuer)
REVOCATIONS = "/admin/revocations"
BY_SESSION = {"by": "session", "sid": "s"}

STAY_INSIDE = {
    "AdminRefused": "raised in the command line, of an answer of the issuer's",
    "ConfigurationError": "ends the start; of a key it becomes no_signing_key",
    "DocumentRejected": "publishing a keyset turns it into a RequestRejected of its code",
    "EncodingRejected": "whoever reads a body turns it into a RequestRejected",
    "ExchangeRefused": "a service that exchanges raises it",
    "ExchangeUnavailable": "a service that exchanges raises it",
    "ImportRejected": "becomes the importer's last failure",
    "JwsRejected": "of a token or assertion it becomes TokenRejected or invalid_client",
    "KeyRejected": "of a client's keys it becomes a RequestRejected",
    "NotActive": "the sequencer steps down",
    "ReadFailed": "the guard of the store turns it into store_went_back",
    "SteppedDown": "the sequencer waits for its turn",
}
"""Classes that no handler knows, and why none needs to: what leaked out would be answered as a
defect of ours.
"""

SAME_AS_ITS_BASE = {"LedgerHalted": "a replica halts, and its reader says so: no route sees it"}


class Listeners:
    """Both of them, and the class of the error that a handler was last asked about."""

    def __init__(self, issuer: Issuer) -> None:
        self.issuer = issuer
        self.raised: type[Exception] | None = None
        self.apps = [create_public_app(issuer.context), create_internal_app(issuer.context)]
        for app in self.apps:
            for kind, handle in app.exception_handlers.items():
                app.exception_handlers[kind] = self._noting(handle)
        self.public, self.internal = [_client(app) for app in self.apps]

    def _noting(self, handle: Callable[[Request, Any], Any]) -> Callable[..., Any]:
        async def noted(request: Request, error: Exception) -> Response:
            self.raised = type(error)
            answer: Response = await handle(request, error)
            return answer

        return noted

    def documented(self, answer: httpx.Response) -> set[int]:
        """The statuses that the document has for what was asked."""
        path, method = answer.request.url.path, answer.request.method.lower()
        found = [app.openapi()["paths"].get(path, {}) for app in self.apps]
        return {int(one) for item in found if method in item for one in item[method]["responses"]}


def _client(app: FastAPI) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url=ISS)


@pytest.fixture
async def listeners(issuer: Issuer) -> AsyncIterator[Listeners]:
    listeners = Listeners(issuer)
    yield listeners
    await listeners.public.aclose()
    await listeners.internal.aclose()


# --- how each of them comes about ---------------------------------------------------------------


async def no_token(to: Listeners) -> httpx.Response:
    return await to.internal.get("/admin/keys")


async def another_scope(to: Listeners) -> httpx.Response:
    return await to.internal.get(
        "/admin/keys", headers=await to.issuer.operator("revocations:write")
    )


async def bad_token(to: Listeners) -> httpx.Response:
    return await to.internal.get("/admin/keys", headers=bearer("a.b.c"))


async def without_a_lease(to: Listeners) -> httpx.Response:
    header = await to.issuer.operator("keys:read")
    to.issuer.stale = True
    return await to.internal.get("/admin/keys", headers=header)


async def guesses(to: Listeners) -> httpx.Response:
    body = {"username": "nobody", "password": "x"}
    for _ in range(to.issuer.config.login_failures):
        assert (await to.public.post("/v1/login", json=body)).status_code == 401
    return await to.public.post("/v1/login", json=body)


async def a_parameter_twice(to: Listeners) -> httpx.Response:
    return await to.public.post("/oauth/token", content=b"a=1&a=1", headers=FORM)


async def revoke(to: Listeners, body: dict[str, Any]) -> httpx.Response:
    header = await to.issuer.operator("revocations:write")
    return await to.internal.post(REVOCATIONS, json=body, headers=header)


async def what_no_record_can_hold(to: Listeners) -> httpx.Response:
    """The rule must outlive the token, and would lie beyond what a record's times may be."""
    return await revoke(to, {"by": "token", "jti": "j", "exp": MAX_EXP - 1})


async def a_field_too_few(to: Listeners) -> httpx.Response:
    return await revoke(to, {"by": "session"})


async def another_method(to: Listeners) -> httpx.Response:
    return await to.public.get("/v1/login")


async def a_store_that_refuses(to: Listeners) -> httpx.Response:
    await to.issuer.redis.set(names.OUTBOX, "no stream")
    return await revoke(to, BY_SESSION)


async def a_store_that_is_damaged(to: Listeners) -> httpx.Response:
    secret = await to.issuer.clients.create("reports", ["orders"])
    await to.issuer.redis.hset(f"{names.CLIENT}reports", "audiences", "[")
    form = {"grant_type": "client_credentials"}
    return await to.public.post("/oauth/token", data=form, auth=("reports", secret))


Case = tuple[Callable[[Listeners], Awaitable[httpx.Response]], int, str, str, dict[str, str]]
CHALLENGE = "WWW-Authenticate"
RETRY = "Retry-After"
CASES: dict[type[Exception], Case] = {
    RequestRejected: (no_token, 401, "invalid_token", "token_missing", {CHALLENGE: "Bearer"}),
    InsufficientScope: (
        another_scope,
        403,
        "insufficient_scope",
        "insufficient_scope",
        {CHALLENGE: 'Bearer error="insufficient_scope", scope="keys:read"'},
    ),
    Throttled: (guesses, 429, "slow_down", "too_many_attempts", {RETRY: "60"}),
    ParameterRepeated: (a_parameter_twice, 400, "invalid_request", "parameter_repeated", {}),
    TokenRejected: (
        bad_token,
        401,
        "invalid_token",
        "invalid_token",
        {
            CHALLENGE: 'Bearer error="invalid_token",'
            ' error_description="the access token is not valid"'
        },
    ),
    AgentStale: (
        without_a_lease,
        503,
        "temporarily_unavailable",
        "agent_stale",
        {RETRY: "7"},
    ),
    LedgerRejected: (what_no_record_can_hold, 400, "invalid_request", "event_malformed", {}),
    RequestValidationError: (a_field_too_few, 400, "invalid_request", "field_missing", {}),
    HTTPException: (
        another_method,
        405,
        "method_not_allowed",
        "method_not_allowed",
        {"Allow": "POST"},
    ),
    ResponseError: (
        a_store_that_refuses,
        503,
        "temporarily_unavailable",
        "store_unavailable",
        {RETRY: "1"},
    ),
}


@pytest.mark.parametrize("kind", CASES, ids=lambda kind: kind.__name__)
async def test_each_has_its_answer(listeners: Listeners, kind: type[Exception]) -> None:
    ask, status, error, code, headers = CASES[kind]
    answer = await ask(listeners)
    assert listeners.raised is kind
    said = answer.json()
    assert (answer.status_code, said["error"], said["code"]) == (status, error, code)
    assert set(said) == {"error", "error_description", "code"}
    shown = {
        name: answer.headers[name] for name in (CHALLENGE, RETRY, "Allow") if name in answer.headers
    }
    assert shown == headers
    assert status in listeners.documented(answer) or status == 405


async def test_a_defect_says_nothing(listeners: Listeners) -> None:
    answer = await a_store_that_is_damaged(listeners)
    assert listeners.raised is orjson.JSONDecodeError
    assert answer.status_code == 500
    assert answer.json() == {
        "error": "server_error",
        "error_description": "the issuer failed",
        "code": "server_error",
    }


# --- no class is forgotten ----------------------------------------------------------------------


def errors_of_ours() -> set[type[TocsinError]]:
    """The root's subclasses, in whatever module of the four packages."""
    for package in PACKAGES:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    found: set[type[TocsinError]] = set()
    waiting = [TocsinError]
    while waiting:
        for kind in waiting.pop().__subclasses__():
            if kind.__module__.startswith("tocsin_"):
                found.add(kind)
                waiting.append(kind)
    return found


@pytest.mark.parametrize("listener", ["public", "internal"])
def test_each_class_has_a_handler_or_stays_inside(listeners: Listeners, listener: str) -> None:
    app = listeners.apps[("public", "internal").index(listener)]
    handled = tuple(kind for kind in app.exception_handlers if kind is not Exception)
    assert all(isinstance(kind, type) for kind in handled)
    kinds = errors_of_ours()
    assert len(kinds) > 15, "the walk finds nothing"
    answered = {kind for kind in kinds if issubclass(kind, handled)}
    assert {kind.__name__ for kind in kinds - answered} == set(STAY_INSIDE)
    assert {kind.__name__ for kind in answered - set(CASES)} == set(SAME_AS_ITS_BASE)


async def test_each_handler_is_tried(listeners: Listeners) -> None:
    not_ours = {Exception, WebSocketRequestValidationError}
    for app in listeners.apps:
        for kind in set(app.exception_handlers) - not_ours:
            assert isinstance(kind, type)
            assert any(issubclass(case, kind) for case in CASES), kind
