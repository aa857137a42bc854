"""An id for each request, in the answer's header and in what is logged of it. Pure ASGI."""

from collections.abc import Callable
from secrets import token_urlsafe
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER: Final = "X-Request-Id"
_STATE: Final = "request_id"


class RequestId:
    """Ours, drawn at random: a caller's own could name another request in the log."""

    def __init__(self, app: ASGIApp, draw: Callable[[], str] = lambda: token_urlsafe(12)) -> None:
        self._app = app
        self._draw = draw

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = self._draw()
        scope.setdefault("state", {})[_STATE] = request_id

        async def with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        await self._app(scope, receive, with_id)


def request_id_of(request: Request) -> str:
    """The id of a request."""
    return str(getattr(request.state, _STATE, ""))
