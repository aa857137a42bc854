"""A log line for each request, and one more in the counts. Pure ASGI.

A request's other lines carry the id that its answer has.
"""

import logging
from time import monotonic

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tocsin_issuer.http.request_counts import ListenerName, RequestCounts
from tocsin_issuer.logs import FIELDS, request_id

_log = logging.getLogger(__name__)


class RequestLog:
    """Inside of :class:`~tocsin_issuer.http.request_id.RequestId`. The line names the route and not
    the path, in which a client may have put a token.
    """

    def __init__(self, app: ASGIApp, counts: RequestCounts, listener: ListenerName) -> None:
        self._app = app
        self._counts = counts
        self._listener: ListenerName = listener

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
            route: str | None = getattr(scope.get("route"), "path", None)
            self._counts.count(self._listener, route, status)
            fields = {
                "method": scope["method"],
                "route": route,
                "status": status,
                "duration_ms": round((monotonic() - start) * 1000, 1),
            }
            _log.info("request", extra={FIELDS: fields})
            request_id.reset(before)
