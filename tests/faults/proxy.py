"""A TCP proxy on loopback that holds a connection's bytes from a chosen message on.

So a process can be killed at an exact place of its work, with nothing in its code that knows of it:
what it sent last never arrives, or arrives when somebody else has gone on.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Literal

from tocsin_revocation_bus.tasks import end

Side = Literal["client", "server"]
_CHUNK = 1 << 16
_OVERLAP = 64  # a pattern may stand across two reads


class Hold:
    """Waits for ``pattern`` in what ``sender`` sends on any connection, then stops that
    connection's bytes on their way from ``stops``.
    """

    def __init__(self, pattern: bytes, sender: Side, stops: Side) -> None:
        self.pattern = pattern
        self.sender: Side = sender
        self.stops: Side = stops
        self.reached = asyncio.Event()
        self.released = asyncio.Event()

    def release(self) -> None:
        """Let what was held go on to where it was sent; what is reached later is not held up."""
        self.released.set()


class _Link:
    def __init__(self) -> None:
        self.held: dict[Side, Hold] = {}
        self.tail: dict[Side, bytes] = {"client": b"", "server": b""}


class Proxy:
    """Between the clients of one port and the server on another."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._holds: list[Hold] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        await self.cut()

    async def cut(self) -> None:
        """Break every connection, and lose what is held."""
        await end(*self._tasks)

    def hold(self, pattern: bytes, *, sender: Side = "client", stops: Side | None = None) -> Hold:
        """Hold the first message with ``pattern`` and what follows it; with ``stops``, let it pass
        and hold what comes from that side. Of several holds each takes the next such message: a
        client that has waited long enough sends it again on another connection.
        """
        hold = Hold(pattern, sender, sender if stops is None else stops)
        self._holds.append(hold)
        return hold

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: writer.close())  # also where it never came to run

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream: asyncio.StreamWriter | None = None
        back: asyncio.Task[None] | None = None
        try:
            answers, upstream = await asyncio.open_connection("127.0.0.1", self._target_port)
            link = _Link()
            back = asyncio.create_task(self._pump(answers, writer, "server", link))
            # The client's end is the link's: what a dead client has sent may still be on its way.
            await self._pump(reader, upstream, "client", link)
        except OSError:
            pass  # nobody listens there
        finally:
            if upstream is not None:
                upstream.close()  # before the wait: whoever ends this may cancel it once more
            if back is not None:
                await end(back)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sender: Side, link: _Link
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                self._look(data, sender, link)
                if (held := link.held.get(sender)) is not None:
                    await held.released.wait()
                writer.write(data)
                await writer.drain()
        if sender == "server":
            writer.close()

    def _look(self, data: bytes, sender: Side, link: _Link) -> None:
        seen = link.tail[sender] + data
        link.tail[sender] = seen[-_OVERLAP:]
        for hold in self._holds:
            if hold.sender == sender and not hold.reached.is_set() and hold.pattern in seen:
                link.held[hold.stops] = hold
                hold.reached.set()
                return
