"""A bare ASGI service that Tocsin protects: an answer, a stream and a WebSocket.

Run it with ``TOCSIN_FILE=orders.tocsin uvicorn examples.asgi_orders.service:app --workers 2``.
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from tocsin_verifier_agent.asgi import Presented, TocsinMiddleware

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def orders(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        return  # there is nothing to start; the middleware sees to its agent
    presented: Presented | None = scope["tocsin"]
    found: dict[str, object] = {}
    if presented is not None:  # None on a public path
        caller = await presented.require("orders:read")
        found = {"orders": ["A-1001"], "of": caller.subject, "worker": os.getpid()}
    if scope["type"] == "websocket":
        await follow(receive, send)
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while scope["path"] == "/orders/feed":
        await send({"type": "http.response.body", "body": b"A-1001\n", "more_body": True})
        await asyncio.sleep(0.05)
    await send({"type": "http.response.body", "body": json.dumps(found).encode()})


async def follow(receive: Receive, send: Send) -> None:
    """Says what it is told, until either side closes."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] != "websocket.disconnect":
        await send({"type": "websocket.send", "text": message["text"]})


app = TocsinMiddleware(orders)
