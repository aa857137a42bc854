"""Headers that every answer carries, unless the route has set its own. Pure ASGI."""

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS: Final = {
    "Cache-Control": "no-store",  # RFC 6749 section 5.1: no answer with a token is ever kept
    "Pragma": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Strict-Transport-Security": "max-age=31536000",
}


class SecurityHeaders:
    """A route that sets ``Cache-Control`` for public data is left alone with ``Pragma`` too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                public = "cache-control" in headers
                for name, value in HEADERS.items():
                    if not (public and name == "Pragma"):
                        headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers)
