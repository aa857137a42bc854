"""Two listeners in one process."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

from tocsin_issuer.http.connection import ConnectionLimits, limited
from tocsin_issuer.http.listening_socket import CrowdSocket, listening_socket
from tocsin_issuer.tls.files import TlsFiles
from tocsin_issuer.tls.server_context import ReloadingContext
from tocsin_issuer.tls.watch import WatchedTls

KEEP_ALIVE_S = 75


class _Server(uvicorn.Server):
    """The process handles signals once, not each listener for itself.

    After the certificate files of ``tls`` have changed, its connections end with their next answer,
    or at once where they are idle: a client whose authority has been taken out must come again, and
    is not let in.
    """

    def __init__(
        self, config: uvicorn.Config, tls: ReloadingContext | None, handshake_s: float
    ) -> None:
        super().__init__(config)
        self._tls = tls
        self._handshake_s = handshake_s
        self._newest = None if tls is None else tls.newest()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, which leaves asyncio's limits to TLS: 60 s for a handshake, and 30 s for a
        client to say that it has seen the end.
        """
        limit_s = None if self._tls is None else self._handshake_s
        loop = asyncio.get_running_loop()
        self.servers = [
            await loop.create_server(
                self._connection,
                sock=one,
                ssl=self._tls,
                ssl_handshake_timeout=limit_s,
                ssl_shutdown_timeout=limit_s,
            )
            for one in sockets or ()
        ]
        self.started = True

    def _connection(self) -> asyncio.Protocol:
        kind: Any = self.config.http_protocol_class
        made: asyncio.Protocol = kind(
            config=self.config, server_state=self.server_state, app_state={}
        )
        return made

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def on_tick(self, counter: int) -> bool:
        """From uvicorn, ten times a second."""
        newest = None if self._tls is None else self._tls.newest()
        if newest is not self._newest:
            self._newest = newest
            for connection in list(self.server_state.connections):
                connection.shutdown()
        return await super().on_tick(counter)


class Listener:
    """One application on one socket, bound at once so that a port of 0 is known.

    Raises:
        ConfigurationError: ``port_in_use``, or as :class:`ReloadingContext` about ``tls``.
    """

    def __init__(
        self,
        app: Any,
        host: str,
        port: int,
        limits: ConnectionLimits,
        tls: TlsFiles | None = None,
    ) -> None:
        context = None if tls is None else ReloadingContext(WatchedTls(tls))
        self._socket = CrowdSocket(listening_socket(host, port), 2 * limits.connections)
        self._server = _Server(
            uvicorn.Config(
                app,
                http=limited(limits),
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,  # the peer's address, whatever a header says of it
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=limits.grace_s,
            ),
            context,
            limits.head_timeout_s,
        )
        self._task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port that is listened on."""
        port: int = self._socket.getsockname()[1]
        return port

    def start(self) -> None:
        """Serve in the background."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))

    async def stop(self) -> None:
        """Let the requests under way finish, then close."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task
        self._socket.close()
