"""Bodies are read whole, up to a size and within a time, before a route runs. Pure ASGI."""

import asyncio
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tocsin_issuer.http import errors

_CLOSE: Final = {"Connection": "close"}  # what is left of the body is not waited for


class BodyLimit:
    """Answers 413 above ``max_bytes``, and 408 where the body takes longer than ``timeout_s``.
    The routes at ``streamed`` read their bodies themselves, with limits of their own.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_bytes: int,
        timeout_s: float,
        streamed: frozenset[str] = frozenset(),
    ) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._streamed = streamed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http" or scope["path"] in self._streamed:
            await self._app(scope, receive, send)
            return
        if self._announced(scope) > self._max_bytes:
            await self._too_large(scope, receive, send)
            return
        body = b""
        more = True
        try:
            async with asyncio.timeout(self._timeout_s):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(body) > self._max_bytes:
                        await self._too_large(scope, receive, send)
                        return
        except TimeoutError:
            late = errors.answer(408, "body_timeout", "the body took too long", _CLOSE)
            await late(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)

    def _announced(self, scope: Scope) -> int:
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and len(value) < 20:
                return int(value)
        return 0

    async def _too_large(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = errors.answer(413, "body_too_large", "the body is too large", _CLOSE)
        await refusal(scope, receive, send)


def _replay(body: bytes, receive: Receive) -> Receive:
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return first.pop() if first else await receive()

    return replayed
