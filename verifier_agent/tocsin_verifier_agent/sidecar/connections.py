"""A service's connections to the sidecar's socket, which belong to one process and one event loop.

What comes back is bounded in size and time. A connection whose answer was not read to its end is
closed, so that no question gets another one's answer.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from tocsin_revocation_bus.clocks import lease_clock
from tocsin_schemas.errors import AgentStale, ConfigurationError
from tocsin_verifier_agent.sidecar import question
from tocsin_verifier_agent.sidecar.address import check_folder

TIMEOUT_S: Final = 3.0
MAX_CONNECTIONS: Final = 100
UNREACHABLE: Final = "sidecar_unreachable"
_BASE: Final = "http://sidecar"
_LIMITS: Final = httpx.Limits(
    max_connections=MAX_CONNECTIONS, max_keepalive_connections=20, keepalive_expiry=30.0
)
_JSON: Final = {"content-type": "application/json"}
# A connection that the sidecar has closed meanwhile; a question may be asked twice.
_CLOSED: Final = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the sidecar said, read to its end."""

    status: int
    body: bytes


class Connections:
    """Opens connections when they are first needed; it may be made before a fork."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._pid = -1
        self._blocking: httpx.Client | None = None
        self._of_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient]
        self._of_loop = weakref.WeakKeyDictionary()

    async def ask(self, path: str, asked: bytes | None = None) -> Answer:
        """GET a path, or POST a question to it.

        Raises:
            AgentStale: ``sidecar_unreachable``: no whole answer within the time; or
                ``socket_folder``: whoever listens there need not be the sidecar.
        """
        request = _request(path, asked)
        try:
            self._check()
            async with asyncio.timeout(TIMEOUT_S):
                client = self._client_of_this_loop()
                try:
                    return await _answer(client, request)
                except _CLOSED:
                    return await _answer(client, request)
        except (httpx.HTTPError, TimeoutError, OSError):
            raise AgentStale(UNREACHABLE) from None

    def ask_blocking(self, path: str, asked: bytes | None = None) -> Answer:
        """As :meth:`ask`, for threads that run no event loop."""
        request = _request(path, asked)
        deadline = lease_clock() + int(TIMEOUT_S * 1e9)
        try:
            self._check()
            client = self._blocking_client()
            try:
                return _answer_blocking(client, request, deadline)
            except _CLOSED:
                return _answer_blocking(client, request, deadline)
        except (httpx.HTTPError, OSError):
            raise AgentStale(UNREACHABLE) from None

    async def close_of_this_loop(self) -> None:
        """Close those of the running event loop."""
        with self._lock:
            client = self._of_loop.pop(asyncio.get_running_loop(), None)
        if client is not None and self._pid == os.getpid():
            await client.aclose()

    def close_blocking(self) -> None:
        """Close those of code without an event loop, and of loops that run in threads of ours."""
        with self._lock:
            client, self._blocking = self._blocking, None
            of_loops = list(self._of_loop.items())
            self._of_loop = weakref.WeakKeyDictionary()
        if self._pid != os.getpid():
            return
        if client is not None:
            client.close()
        for loop, of_loop in of_loops:
            if loop.is_running():
                closing = asyncio.run_coroutine_threadsafe(of_loop.aclose(), loop)
                with suppress(TimeoutError):
                    closing.result(TIMEOUT_S)

    def _check(self) -> None:
        """Before each question: the folder may be newer than this process."""
        try:
            check_folder(self._path)
        except ConfigurationError as error:
            raise AgentStale(error.code) from None

    def _forget_the_parents(self) -> None:
        """After a fork. Two processes on one connection would read each other's verdicts."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._blocking = None
            self._of_loop = weakref.WeakKeyDictionary()

    def _client_of_this_loop(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        with self._lock:
            self._forget_the_parents()
            client = self._of_loop.get(loop)
            if client is None:
                client = self._of_loop[loop] = httpx.AsyncClient(
                    base_url=_BASE,
                    transport=httpx.AsyncHTTPTransport(
                        verify=False, uds=str(self._path), limits=_LIMITS
                    ),
                    timeout=TIMEOUT_S,
                    trust_env=False,
                )
        return client

    def _blocking_client(self) -> httpx.Client:
        with self._lock:
            self._forget_the_parents()
            if self._blocking is None:
                self._blocking = httpx.Client(
                    base_url=_BASE,
                    transport=httpx.HTTPTransport(
                        verify=False, uds=str(self._path), limits=_LIMITS
                    ),
                    timeout=TIMEOUT_S,
                    trust_env=False,
                )
            return self._blocking


def _request(path: str, asked: bytes | None) -> dict[str, Any]:
    if asked is None:
        return {"method": "GET", "url": path}
    return {"method": "POST", "url": path, "content": asked, "headers": _JSON}


async def _answer(client: httpx.AsyncClient, request: dict[str, Any]) -> Answer:
    async with client.stream(**request) as answer:
        body = b""
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > question.MAX_ANSWER_BYTES:
                raise AgentStale(UNREACHABLE)
    return Answer(answer.status_code, body)


def _answer_blocking(client: httpx.Client, request: dict[str, Any], deadline: int) -> Answer:
    """The library's time-outs are for each read; the deadline is for all of them."""
    left_s = max(0.0, (deadline - lease_clock()) / 1e9)
    with client.stream(**request, timeout=left_s) as answer:
        body = b""
        for chunk in answer.iter_raw():
            body += chunk
            if len(body) > question.MAX_ANSWER_BYTES or lease_clock() > deadline:
                raise AgentStale(UNREACHABLE)
    return Answer(answer.status_code, body)
