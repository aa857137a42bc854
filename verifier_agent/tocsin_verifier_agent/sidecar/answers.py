"""Answers of the sidecar, as ASGI sends them. None may be kept by a cache."""

from collections.abc import Iterable
from typing import Any, Final

from tocsin_schemas.errors import RequestRejected
from tocsin_verifier_agent.adapters.bearer import Refusal
from tocsin_verifier_agent.adapters.lifespan import Send
from tocsin_verifier_agent.sidecar import question

JSON: Final = b"application/json"
_NO_STORE: Final = (b"cache-control", b"no-store")


async def answer(
    send: Send,
    status: int,
    headers: Iterable[tuple[bytes, bytes]],
    body: bytes = b"",
    content_type: bytes | None = None,
) -> None:
    """Send one whole answer."""
    fields = [_NO_STORE, (b"content-length", str(len(body)).encode()), *headers]
    if content_type is not None:
        fields.append((b"content-type", content_type))
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


async def answer_json(
    send: Send, status: int, members: Any, headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Send JSON."""
    await answer(send, status, headers, question.encode(members), JSON)


async def refuse(send: Send, refusal: Refusal) -> None:
    """Send what every adapter answers (RFC 6750)."""
    fields = [(name.lower().encode(), text.encode()) for name, text in refusal.headers.items()]
    await answer_json(send, refusal.status, refusal.body(), fields)


async def reject(send: Send, rejected: RequestRejected) -> None:
    """Send what is wrong with a request that is no verdict."""
    body = {"error": "invalid_request", "error_description": str(rejected), "code": rejected.code}
    await answer_json(send, rejected.status, body)
