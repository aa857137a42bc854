"""Asking the issuer about a token (RFC 7662), for agents that may while they cannot prove anything.

Questions about one token that are asked at one time become one request; there is a bound on how
many are under way, so that an outage of the bus does not become one of the issuer. No answer is
kept.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Literal

import httpx

from tocsin_revocation_bus.tasks import end
from tocsin_schemas import strict_json
from tocsin_schemas.errors import (
    AgentStale,
    ConfigurationError,
    EncodingRejected,
    TokenRejected,
)
from tocsin_verifier_agent import endpoint, issuer_http
from tocsin_verifier_agent.client_tls import ClientTls, CurrentTls
from tocsin_verifier_agent.meters import Meters

TIMEOUT_S = 2.0
MAX_UNDER_WAY = 32

Outcome = Literal["active", "inactive", "failed", "busy", "stopped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IntrospectionClient:
    """Where the endpoint is, and the client that asks: by its secret, or without one by the
    certificate in ``tls`` (RFC 8705).

    Raises:
        ConfigurationError: ``introspection_url`` where a token must not be sent there, or
            ``introspection_client`` where there is nothing to show who asks.
    """

    url: str
    client_id: str
    client_secret: str = ""
    tls: ClientTls = field(default_factory=ClientTls)

    def __post_init__(self) -> None:
        if not self.client_secret and self.tls.certificate is None:
            raise ConfigurationError(
                "introspection_client", "the introspection client needs a secret or a certificate"
            )
        fault = endpoint.fault_of(self.url)
        if fault is not None:
            raise ConfigurationError("introspection_url", f"the introspection URL {fault}")

    def __repr__(self) -> str:
        return f"IntrospectionClient(url={self.url!r}, client_id={self.client_id!r})"


class Introspector:
    """Asks on one event loop, for callers on any thread.

    Raises:
        ConfigurationError: as :meth:`ClientTls.context` of ``client.tls``.
    """

    def __init__(self, client: IntrospectionClient, meters: Meters) -> None:
        self._client = client
        self._meters = meters
        self._tls = CurrentTls(client.tls)
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._http: httpx.AsyncClient | None = None
        self._waiting: dict[str, list[Future[None]]] = {}
        self._requests: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Ask on this event loop from now on."""
        client = self._client
        auth = (client.client_id, client.client_secret) if client.client_secret else None
        self._http = issuer_http.new_client(auth, self._tls.context, TIMEOUT_S)
        self._loop = asyncio.get_running_loop()

    async def stop(self) -> None:
        """Give up what is under way; whoever waits gets an answer."""
        with self._lock:
            self._loop = None
            waiting, self._waiting = self._waiting, {}
        for futures in waiting.values():
            self._settle(futures, "stopped")
        await end(*self._requests)
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    async def ask(self, token: str) -> None:
        """Return if the issuer says that the token is active; on any event loop.

        Raises:
            TokenRejected: ``inactive``.
            AgentStale: ``introspection_failed``, ``introspection_busy`` or
                ``introspection_stopped``.
        """
        try:
            async with asyncio.timeout(2 * TIMEOUT_S):
                await asyncio.wrap_future(self._asked(token))
        except TimeoutError:
            raise AgentStale("introspection_failed") from None

    def ask_blocking(self, token: str) -> None:
        """As :meth:`ask`, for threads without an event loop.

        Raises:
            AgentStale: also ``introspection_blocks``, on the asking loop's own thread, which would
                wait for itself.
        """
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is not None and here is self._loop:
            raise AgentStale("introspection_blocks")
        try:
            self._asked(token).result(2 * TIMEOUT_S)
        except TimeoutError:
            raise AgentStale("introspection_failed") from None

    def _asked(self, token: str) -> Future[None]:
        future: Future[None] = Future()
        with self._lock:
            refused = self._join(token, future)
        if refused is not None:
            self._settle([future], refused)
        return future

    def _join(self, token: str, future: Future[None]) -> Outcome | None:
        """Wait with those who have asked already, or be the first; or say why not."""
        loop = self._loop
        if loop is None:
            return "stopped"
        if token in self._waiting:
            self._waiting[token].append(future)
            return None
        if len(self._waiting) >= MAX_UNDER_WAY:
            return "busy"
        self._waiting[token] = [future]  # before the loop's thread can look
        try:
            loop.call_soon_threadsafe(self._begin, token)
        except RuntimeError:  # the loop has been closed, and nobody stopped us before
            del self._waiting[token]
            return "stopped"
        return None

    def _settle(self, futures: Iterable[Future[None]], outcome: Outcome) -> None:
        """Each gets an error of its own: one that many raise would gather all their tracebacks."""
        for future in futures:
            self._meters.count("introspected", outcome)
            if not future.set_running_or_notify_cancel():
                continue
            if outcome == "active":
                future.set_result(None)
            elif outcome == "inactive":
                future.set_exception(TokenRejected("inactive"))
            else:
                future.set_exception(AgentStale(f"introspection_{outcome}"))

    # --- on the asking loop ---------------------------------------------------------------------

    def _begin(self, token: str) -> None:
        if self._http is not None and token in self._waiting:
            request = asyncio.create_task(self._request(self._http, token))
            self._requests.add(request)
            request.add_done_callback(self._requests.discard)

    async def _request(self, http: httpx.AsyncClient, token: str) -> None:
        outcome: Outcome = "failed"
        try:
            async with asyncio.timeout(TIMEOUT_S):
                outcome = "active" if await self._active(http, token) else "inactive"
        except (httpx.HTTPError, httpx.StreamError, TimeoutError, EncodingRejected, _NoAnswer):
            pass
        finally:
            with self._lock:
                futures = self._waiting.pop(token, [])
            self._settle(futures, outcome)

    async def _active(self, http: httpx.AsyncClient, token: str) -> bool:
        self._tls.refresh()
        form = {"token": token, "token_type_hint": "access_token"}
        if not self._client.client_secret:
            form["client_id"] = self._client.client_id  # RFC 8705 section 2.1
        answer, body = await issuer_http.post_form(http, self._client.url, form)
        active = strict_json.loads_object(body).get("active")
        if answer.status_code != 200 or type(active) is not bool:
            raise _NoAnswer
        return active


class _NoAnswer(Exception):
    """What came back is no answer to the question."""
