"""FastAPI: the ASGI middleware, and a dependency that asks for permissions.

::

    app.add_middleware(TocsinMiddleware)

    @app.get("/orders", dependencies=[Depends(require("orders:read"))])
    def orders(): ...
"""
# Without `from __future__ import annotations`: FastAPI cannot look up the names in a closure.

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

from fastapi import Response, Security
from fastapi.openapi.models import HTTPBearer as BearerModel
from fastapi.requests import HTTPConnection
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase

from tocsin_verifier_agent.adapters import bearer
from tocsin_verifier_agent.adapters.bearer import Refused
from tocsin_verifier_agent.asgi import SCOPE_KEY, Presented, TocsinMiddleware
from tocsin_verifier_agent.core.leniency import OnStale
from tocsin_verifier_agent.core.verified import Verified

__all__ = ["RESPONSES", "Refused", "TocsinMiddleware", "answer_refused", "require"]

_REFUSAL: Final = {
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["error", "error_description"],
                "properties": {
                    "error": {"type": "string"},
                    "error_description": {"type": "string"},
                },
            }
        }
    }
}
_TEXT: Final = {"schema": {"type": "string"}}
# What a protected operation answers besides its own; for `responses=` of a route or a router.
RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    401: {
        "description": "No access token, or one that is not valid",
        "headers": {"WWW-Authenticate": _TEXT},
        **_REFUSAL,
    },
    403: {
        "description": "The access token does not allow this",
        "headers": {"WWW-Authenticate": _TEXT},
        **_REFUSAL,
    },
    503: {
        "description": "The verifier cannot prove that it is up to date",
        "headers": {"Retry-After": _TEXT},
        **_REFUSAL,
    },
}


class _BearerScheme(SecurityBase):
    """Puts the scheme into the OpenAPI document; the checks are the dependency's around it."""

    def __init__(self) -> None:
        self.model = BearerModel(bearerFormat="JWT")
        self.scheme_name = "tocsin"

    async def __call__(self) -> None: ...


_SCHEME: Final = _BearerScheme()


def require(
    *permissions: str, max_staleness: float | None = None, on_stale: OnStale | None = None
) -> Callable[..., Awaitable[Verified]]:
    """A dependency: the token must hold every permission, in ``perms`` or ``scope``.

    It works in HTTP and WebSocket routes, in ``Depends(…)``, and in ``Security(…, scopes=[…])``,
    whose scopes are demanded too. ``max_staleness`` (seconds) demands a fresher proof than the
    fleet's lease; ``on_stale`` is what this route does without one, and can only be stricter than
    the agent's file. Its value is the :class:`Verified` token. What it refuses the middleware
    answers, with the same bytes as every other refusal.
    """

    async def dependency(
        connection: HTTPConnection,
        scopes: SecurityScopes,
        scheme: Annotated[None, Security(_SCHEME, scopes=list(permissions))],
    ) -> Verified:
        presented: Presented | None = connection.scope[SCOPE_KEY]  # KeyError: no TocsinMiddleware
        if presented is None:
            raise Refused(bearer.NO_TOKEN)
        return await presented.require(
            *permissions, *scopes.scopes, max_staleness=max_staleness, on_stale=on_stale
        )

    return dependency


async def answer_refused(connection: HTTPConnection, error: Exception) -> Response:
    """For mounted applications: ``mounted.add_exception_handler(Refused, answer_refused)``.

    Without it such an application makes its own 500 of what ``require`` refuses, before the
    middleware sees it. The bytes are those that the middleware answers.
    """
    if not isinstance(error, Refused) or connection.scope["type"] != "http":
        raise error  # a WebSocket is refused by the middleware in any case
    refusal = error.refusal
    return Response(refusal.content(), refusal.status, dict(refusal.header_list()))
