"""A WebSocket client, as much of RFC 6455 as a test needs."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

TEXT, CLOSE = 0x1, 0x8


class HandshakeRefused(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


class WebSocketClient:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def shake_hands(self, path: str, token: str) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        head = (
            f"GET {path} HTTP/1.1\r\nHost: orders\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
            f"Authorization: Bearer {token}\r\n\r\n"
        )
        self._writer.write(head.encode())
        answer = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status = int(answer.split()[1])
        if status != 101:
            raise HandshakeRefused(status)

    def send(self, text: str) -> None:
        data, mask = text.encode(), os.urandom(4)
        masked = bytes(octet ^ mask[i % 4] for i, octet in enumerate(data))
        self._writer.write(bytes([0x80 | TEXT, 0x80 | len(data)]) + mask + masked)

    async def frame(self) -> tuple[int, bytes]:
        first, length = await self._reader.readexactly(2)
        assert length < 126
        return first & 0x0F, await self._reader.readexactly(length)


@asynccontextmanager
async def connected(port: int, path: str, token: str) -> AsyncIterator[WebSocketClient]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        client = WebSocketClient(reader, writer)
        async with asyncio.timeout(10):
            await client.shake_hands(path, token)
            yield client
    finally:
        writer.close()
