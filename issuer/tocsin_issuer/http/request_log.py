"""A log line for each request, and an id that its answer and its other lines carry. Pure ASGI."""

import logging
from secrets import token_urlsafe
from time import monotonic
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tocsin_issuer.logs import FIELDS, request_id

HEADER: Final = "X-Request-Id"
_ID_BYTES: Final = 9
_log = logging.getLogger(__name__)


class RequestLog:
    """The id is ours, drawn at random: one that a request brings along could be anything. The line
    names the route and not the path, in which a client may have put a token.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        drawn, start, status = token_urlsafe(_ID_BYTES), monotonic(), 500

        async def with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = drawn
            await send(message)

        before = request_id.set(drawn)
        try:
            await self._app(scope, receive, with_id)
        finally:
            fields = {
                "method": scope["method"],
                "route": getattr(scope.get("route"), "path", None),
                "status": status,
                "duration_ms": round((monotonic() - start) * 1000, 1),
            }
            _log.info("request", extra={FIELDS: fields})
            request_id.reset(before)
