"""Asking the issuer about a token (RFC 7662), for agents that may while they cannot prove anything.

Questions about one token that are asked at one time become one request; there is a bound on how
many are under way, so that an outage of the bus does not become one of the issuer.
"""

from __future__ import annotations

import asyncio
import ssl
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import httpx

from tocsin_schemas import strict_json
from tocsin_schemas.errors import AgentStale, EncodingRejected, TokenRejected
from tocsin_verifier_agent.meters import Meters

TIMEOUT_S = 2.0
MAX_UNDER_WAY = 32
MAX_ANSWER_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class IntrospectionClient:
    """Where the endpoint is, and the client that asks. ``ca`` is a file of PEM certificates."""

    url: str
    client_id: str
    client_secret: str
    ca: Path | None = None

    def __repr__(self) -> str:
        return f"IntrospectionClient(url={self.url!r}, client_id={self.client_id!r})"


class Introspector:
    """Asks on one event loop, for callers on any thread."""

    def __init__(self, client: IntrospectionClient, meters: Meters) -> None:
        self._client = client
        self._meters = meters
        self._loop: asyncio.AbstractEventLoop | None = None
        self._http: httpx.AsyncClient | None = None
        self._under_way: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Ask on this event loop from now on."""
        self._loop = asyncio.get_running_loop()
        ca = self._client.ca
        verify = True if ca is None else ssl.create_default_context(cafile=str(ca))
        self._http = httpx.AsyncClient(
            auth=httpx.BasicAuth(self._client.client_id, self._client.client_secret),
            verify=verify,
            timeout=TIMEOUT_S,
            trust_env=False,
        )

    async def stop(self) -> None:
        """Give up what is under way."""
        self._loop = None
        for task in tuple(self._under_way.values()):
            task.cancel()
        if self._http is not None:
            await self._http.aclose()

    def ask(self, token: str) -> Future[None]:
        """A future that succeeds if the issuer says that the token is active.

        It fails with:
            TokenRejected: ``inactive``.
            AgentStale: ``introspection_failed``, ``introspection_busy`` or
                ``introspection_stopped``.
        """
        if self._loop is None or self._loop.is_closed():
            failed: Future[None] = Future()
            failed.set_exception(AgentStale("introspection_stopped"))
            return failed
        return asyncio.run_coroutine_threadsafe(self._joined(token), self._loop)

    def wait_for(self, token: str) -> None:
        """Ask and wait, on a thread that is not the asking loop's.

        Raises:
            TokenRejected: as :meth:`ask`.
            AgentStale: as :meth:`ask`.
        """
        if asyncio._get_running_loop() is self._loop and self._loop is not None:
            raise AgentStale("introspection_blocks")
        try:
            self.ask(token).result(2 * TIMEOUT_S)
        except TimeoutError:
            raise AgentStale("introspection_failed") from None

    async def _joined(self, token: str) -> None:
        task = self._under_way.get(token)
        if task is None:
            if len(self._under_way) >= MAX_UNDER_WAY:
                self._meters.count("introspected", "busy")
                raise AgentStale("introspection_busy")
            task = self._under_way[token] = asyncio.ensure_future(self._request(token))
            task.add_done_callback(lambda _: self._under_way.pop(token, None))
        await asyncio.shield(task)

    async def _request(self, token: str) -> None:
        if self._http is None:
            raise AgentStale("introspection_stopped")
        form = {"token": token, "token_type_hint": "access_token"}
        try:
            async with asyncio.timeout(TIMEOUT_S):
                active = await self._active(self._http, form)
        except (httpx.HTTPError, TimeoutError, EncodingRejected, AgentStale):
            self._meters.count("introspected", "failed")
            raise AgentStale("introspection_failed") from None
        self._meters.count("introspected", "active" if active else "inactive")
        if not active:
            raise TokenRejected("inactive")

    async def _active(self, http: httpx.AsyncClient, form: dict[str, str]) -> bool:
        async with http.stream("POST", self._client.url, data=form) as answer:
            body = b""
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    raise AgentStale("introspection_failed")
        if answer.status_code != 200:
            raise AgentStale("introspection_failed")
        active = strict_json.loads_object(body).get("active")
        if type(active) is not bool:
            raise AgentStale("introspection_failed")
        return active
