"""A log line for each request; its other lines carry the id that its answer has. Pure ASGI."""

import logging
from time import monotonic

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tocsin_issuer.logs import FIELDS, request_id

_log = logging.getLogger(__name__)


class RequestLog:
    """Inside of :class:`~tocsin_issuer.http.request_id.RequestId`. The line names the route and not
    the path, in which a client may have put a token.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = monotonic(), 500

        async def seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        before = request_id.set(scope.get("state", {}).get("request_id"))
        try:
            await self._app(scope, receive, seen)
        finally:
            fields = {
                "method": scope["method"],
                "route": getattr(scope.get("route"), "path", None),
                "status": status,
                "duration_ms": round((monotonic() - start) * 1000, 1),
            }
            _log.info("request", extra={FIELDS: fields})
            request_id.reset(before)
