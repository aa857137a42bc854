"""An ASGI server of one connection, played by a test; and uvicorn in the running loop."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

_OTHERS = re.compile("tocsin_issuer|site-packages")


class Peer:
    """What a server keeps of one connection."""

    def __init__(self, app: Any, kind: str, path: str, token: str | None, **scope: Any) -> None:
        headers = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
        self.scope: dict[str, Any] = {"type": kind, "path": path, "headers": headers, **scope}
        if kind == "http":
            self.scope.setdefault("method", "GET")
        self._incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.task = asyncio.create_task(app(self.scope, self._incoming.get, self._send))

    def put(self, message: dict[str, Any]) -> None:
        self._incoming.put_nowait(message)

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
        self.times.append(time.monotonic())
        await asyncio.sleep(0)

    def types(self) -> list[str]:
        return [message["type"] for message in self.sent]

    async def until(self, kind: str, timeout: float = 5.0) -> dict[str, Any]:
        """The first message of that type, as soon as it is there."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            for message in self.sent:
                if message["type"] == kind:
                    return message
            await asyncio.sleep(0.005)
        raise AssertionError(f"no {kind}: {self.types()}")


def tasks_of_agents() -> set[asyncio.Task[Any]]:
    """All but those of the issuer in the same loop and of its libraries, which come and go."""
    return {task for task in asyncio.all_tasks() if not _OTHERS.search(_file_of(task))}


def _file_of(task: asyncio.Task[Any]) -> str:
    running: Any = task.get_coro()
    return str(running.cr_code.co_filename)


def websocket(app: Any, token: str | None, path: str = "/ws", **scope: Any) -> Peer:
    peer = Peer(app, "websocket", path, token, **scope)
    peer.put({"type": "websocket.connect"})
    return peer


def http(app: Any, token: str | None, path: str = "/stream", **scope: Any) -> Peer:
    peer = Peer(app, "http", path, token, **scope)
    peer.put({"type": "http.request", "body": b"", "more_body": False})
    return peer


async def finished(peer: Peer, timeout: float = 5.0) -> None:
    async with asyncio.timeout(timeout):
        await asyncio.wait({peer.task})


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(server: uvicorn.Server) -> None:
    with contextlib.suppress(SystemExit):  # it did not start
        await server.serve()


@asynccontextmanager
async def uvicorn_serving(app: Any) -> AsyncIterator[str]:
    config = uvicorn.Config(
        app, port=0, lifespan="on", log_config=None, timeout_graceful_shutdown=1
    )
    server = _Server(config)
    serving = asyncio.create_task(_serve(server))
    while not server.started:
        assert not serving.done(), "uvicorn did not start"
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await serving
