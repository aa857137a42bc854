"""The same small service behind ASGI, FastAPI and WSGI."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.verifier_agent.adapters.contract import Answer, Ask
from tests.verifier_agent.adapters.fastapi_app import fastapi_app
from tocsin_verifier_agent import VerifierAgent
from tocsin_verifier_agent import asgi as asgi_adapter
from tocsin_verifier_agent import wsgi as wsgi_adapter

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


@asynccontextmanager
async def asgi(agent: VerifierAgent) -> AsyncIterator[Ask]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        presented = scope["tocsin"]
        if scope["path"] == "/admin":
            await presented.require("orders:admin")
        elif scope["path"] == "/money":
            await presented.require("orders:read", max_staleness=0.0)
        elif scope["path"] == "/orders":
            await presented.require("orders:read")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    protected = asgi_adapter.TocsinMiddleware(app, agent=agent, start_agent=False)
    async with _client(protected) as ask:
        yield ask


@asynccontextmanager
async def fastapi(agent: VerifierAgent) -> AsyncIterator[Ask]:
    async with _client(fastapi_app(agent)) as ask:
        yield ask


@asynccontextmanager
async def _client(app: Any) -> AsyncIterator[Ask]:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://orders") as client:

        async def ask(path: str, authorization: Sequence[str]) -> Answer:
            headers = [("Authorization", value) for value in authorization]
            return http_answer(await client.get(path, headers=headers))

        yield ask


@wsgi_adapter.require("orders:admin")
def admin() -> None: ...


@wsgi_adapter.require("orders:read", max_staleness=0.0)
def money() -> None: ...


def wsgi_app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/admin":
        admin()
    elif environ["PATH_INFO"] == "/money":
        money()
    elif environ["PATH_INFO"] == "/orders":
        wsgi_adapter.caller("orders:read")
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", "2")])
    return [b"{}"]


class Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None: ...


@asynccontextmanager
async def wsgi(agent: VerifierAgent) -> AsyncIterator[Ask]:
    protected = wsgi_adapter.TocsinMiddleware(wsgi_app, agent=agent, start_agent=False)
    async with serving(protected) as url, httpx.AsyncClient(base_url=url) as client:

        async def ask(path: str, authorization: Sequence[str]) -> Answer:
            headers = [("Authorization", value) for value in authorization]
            return http_answer(await client.get(path, headers=headers))

        yield ask


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """A WSGI application on werkzeug's server, on a thread."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        await asyncio.to_thread(server.shutdown)
        thread.join()
        server.server_close()


def http_answer(answer: httpx.Response) -> Answer:
    if answer.status_code == 200:
        return Answer(200)
    members = answer.json()
    assert set(members) == {"error", "error_description"}
    assert int(answer.headers["content-length"]) == len(answer.content)
    return Answer(
        answer.status_code,
        members["error_description"],
        members["error"],
        answer.headers.get("www-authenticate"),
        answer.headers.get("retry-after"),
        answer.headers.get("content-type"),
        answer.headers.get("cache-control"),
    )
