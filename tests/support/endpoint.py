"""A small HTTP server on loopback: whatever an issuer's endpoint may answer, and worse."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote_plus

from tocsin_revocation_bus.tasks import end


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    form: dict[str, list[str]]

    @property
    def credentials(self) -> tuple[str, str]:
        """As RFC 6749 section 2.3.1 has them."""
        raw = b64decode(self.headers["authorization"].removeprefix("Basic ")).decode()
        name, _, secret = raw.partition(":")
        return unquote_plus(name), unquote_plus(secret)


Write = Callable[[bytes], Awaitable[None]]
Script = Callable[[Asked, Write], Awaitable[None]]


def answer(body: bytes | Mapping[str, object], status: str = "200 OK", **headers: str) -> bytes:
    """A whole HTTP answer."""
    content = body if isinstance(body, bytes) else json.dumps(dict(body)).encode()
    members = {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}
    lines = [f"{name.replace('_', '-')}: {text}" for name, text in members.items()]
    head = "\r\n".join([f"HTTP/1.1 {status}", "Connection: close", *lines])
    return f"{head}\r\n\r\n".encode() + content


def says(body: bytes | Mapping[str, object], status: str = "200 OK", **headers: str) -> Script:
    """A script that gives this answer."""

    async def script(_: Asked, write: Write) -> None:
        await write(answer(body, status, **headers))

    return script


ACTIVE, INACTIVE = says({"active": True}), says({"active": False})


@dataclass
class Endpoint:
    """``script`` answers; ``asked`` is what it was asked."""

    url: str
    script: Script = ACTIVE
    asked: list[Asked] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def write(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            method, path, _ = head[0].split(" ")
            pairs = (line.partition(": ") for line in head[1:] if line)
            headers = {name.lower(): text for name, _, text in pairs}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            asked = Asked(method, path, headers, parse_qs(body.decode()))
            self.asked.append(asked)
            await self.script(asked, write)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client has gone
        finally:
            writer.close()


@asynccontextmanager
async def served() -> AsyncIterator[Endpoint]:
    """An endpoint while it is served on this event loop."""
    endpoint = Endpoint("")
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(endpoint.serve(reader, writer))
        connections.add(task)
        task.add_done_callback(connections.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    endpoint.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/oauth/introspect"
    try:
        yield endpoint
    finally:
        server.close()
        await end(*connections)
        await server.wait_closed()
