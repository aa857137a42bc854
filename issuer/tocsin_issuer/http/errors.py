"""Errors as RFC 6749 section 5.2 and RFC 6750 section 3 shape them.

``error`` is the RFC's word, ``code`` our stable one, ``error_description`` a fixed text: nothing of
the request is ever repeated in an answer.
"""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from tocsin_issuer.http.security_headers import HEADERS
from tocsin_issuer.store.throttle import Throttled
from tocsin_schemas.errors import AgentStale, LedgerRejected, RequestRejected, TokenRejected

_RFC_ERRORS: Final = frozenset(
    (
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "invalid_scope",
        "invalid_target",
        "invalid_token",
        "insufficient_scope",
        "unauthorized_client",
        "unsupported_grant_type",
    )
)
_BY_STATUS: Final[Mapping[int, str]] = {
    401: "invalid_token",
    403: "access_denied",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    429: "slow_down",
    500: "server_error",
    503: "temporarily_unavailable",
}
RETRY_AFTER: Final = {"Retry-After": "1"}
_log = logging.getLogger(__name__)


def error_of(status: int, code: str) -> str:
    """The RFC's word for one of our codes, which has that HTTP status."""
    return code if code in _RFC_ERRORS else _BY_STATUS.get(status, "invalid_request")


def answer(
    status: int, code: str, description: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """One error."""
    body = {"error": error_of(status, code), "error_description": description, "code": code}
    return JSONResponse(body, status, headers=dict(headers or {}))


def raw_answer(status: int, code: str, description: str) -> bytes:
    """One error before there is a request that an application could answer."""
    refusal = answer(status, code, description, {"Connection": "close"})
    refusal.headers.update(RETRY_AFTER if status == 503 else {})
    refusal.headers.update(HEADERS)
    head = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    head += [f"{name}: {value}" for name, value in refusal.headers.items()]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + bytes(refusal.body)


class InsufficientScope(RequestRejected):
    """A good token without the permission that is asked for."""

    def __init__(self, permission: str) -> None:
        super().__init__("insufficient_scope", "the token lacks a permission", status=403)
        self.permission = permission


def install(app: FastAPI) -> None:
    """Let the app answer with these shapes alone."""
    for kind in _ANSWERED:
        app.add_exception_handler(kind, _respond)
    app.add_exception_handler(Exception, _failed)


_ANSWERED: Final[tuple[type[Exception], ...]] = (
    RequestRejected,
    TokenRejected,
    AgentStale,
    LedgerRejected,
    RequestValidationError,
    HTTPException,
    RedisError,
)


async def _respond(request: Request, exc: Exception) -> Response:
    match exc:
        case RequestRejected():
            return answer(exc.status, exc.code, str(exc), _headers_of(exc))
        case TokenRejected():  # one text for every cause; the cause is for our meters
            text = "the access token is not valid"
            challenge = f'Bearer error="invalid_token", error_description="{text}"'
            return answer(401, "invalid_token", text, {"WWW-Authenticate": challenge})
        case AgentStale():
            text = "the issuer cannot prove that it is up to date"
            return answer(503, "agent_stale", text, {"Retry-After": str(exc.retry_after)})
        case LedgerRejected():
            return answer(400, "event_malformed", "an id or reason cannot stand in a record")
        case RequestValidationError():
            return _validation_failed(exc)
        case HTTPException():  # what the framework itself refuses: unknown paths and methods
            code = _BY_STATUS.get(exc.status_code, "invalid_request")
            text = "the request is not understood here"
            return answer(exc.status_code, code, text, exc.headers)
        case RedisError():  # nothing was acknowledged, so the client may repeat the request
            _log.error("the store does not answer: %s", type(exc).__name__)
            text = "the issuer cannot answer now"
            return answer(503, "store_unavailable", text, RETRY_AFTER)
        case _:
            raise exc


def _headers_of(exc: RequestRejected) -> dict[str, str]:
    headers: dict[str, str] = {}
    if isinstance(exc, Throttled):
        headers["Retry-After"] = str(exc.retry_after)
    elif exc.status in (429, 503):
        headers |= RETRY_AFTER
    if isinstance(exc, InsufficientScope):
        challenge = f'Bearer error="insufficient_scope", scope="{exc.permission}"'
        headers["WWW-Authenticate"] = challenge
    elif exc.code == "invalid_client":
        headers["WWW-Authenticate"] = 'Basic realm="tocsin"'
    elif exc.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return headers


def _validation_failed(exc: RequestValidationError) -> Response:
    """Neither names nor values of what was sent are repeated: an unknown field's name is input."""
    kinds = {str(error["type"]) for error in exc.errors()}
    if "extra_forbidden" in kinds:
        return answer(400, "field_unknown", "the body has a field that is not known here")
    if not kinds.isdisjoint(("missing", "union_tag_not_found")):
        return answer(400, "field_missing", "the body lacks a field")
    return answer(400, "field_invalid", "a field has a value that is not allowed")


async def _failed(request: Request, exc: Exception) -> Response:
    """A defect of ours: the framework logs it after this answer."""
    return answer(500, "server_error", "the issuer failed")
