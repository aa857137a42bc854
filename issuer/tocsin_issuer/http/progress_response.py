"""An answer that grows while the request is still being read."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class ProgressResponse(StreamingResponse):
    """One JSON object a line. What it is made from reads the request to its end by itself: the
    framework's own way, to listen meanwhile for the client's leaving, would take the body away.
    """

    media_type = "application/x-ndjson"

    def __init__(self, told: AsyncIterator[dict[str, Any]]) -> None:
        async def lines() -> AsyncIterator[bytes]:
            async for one in told:
                yield orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE)

        super().__init__(lines())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        await self.stream_response(send)
