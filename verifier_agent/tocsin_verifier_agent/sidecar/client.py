"""Asking this host's sidecar over its Unix socket, in place of an agent in the process.

For prefork servers, and for hosts with many small services: one agent follows the ledger for all of
them. Nothing is kept here; each verdict is the sidecar's, of this moment.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import httpx
from msgspec import DecodeError

from tocsin_revocation_bus.clocks import lease_clock
from tocsin_schemas import strict_json
from tocsin_schemas.confirmation import thumbprint
from tocsin_schemas.errors import AgentStale, EncodingRejected, TokenRejected
from tocsin_verifier_agent.core.confirmation import PeerCertificate
from tocsin_verifier_agent.core.leniency import OnStale
from tocsin_verifier_agent.core.verified import Verified
from tocsin_verifier_agent.sidecar import question
from tocsin_verifier_agent.sidecar.address import check_folder
from tocsin_verifier_agent.sidecar.question import Question

TIMEOUT_S: Final = 3.0
LOOK_AGAIN_S: Final = 1.0
MAX_CONNECTIONS: Final = 100
UNREACHABLE: Final = "sidecar_unreachable"
_BASE: Final = "http://sidecar"
_LIMITS: Final = httpx.Limits(
    max_connections=MAX_CONNECTIONS, max_keepalive_connections=20, keepalive_expiry=30.0
)
_JSON: Final = {"content-type": "application/json"}
# A connection that the sidecar has closed meanwhile; a question may be asked twice.
_CLOSED: Final = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)


class SidecarClient:
    """An :class:`~tocsin_verifier_agent.authenticator.Authenticator` that asks a sidecar.

    It may be made before a fork: connections belong to one process and one event loop, and are
    opened when they are first needed. A sidecar that is away, slow, or answers nonsense is
    :class:`AgentStale` ``sidecar_unreachable``; nothing is accepted then.

    Args:
        path: the sidecar's socket.
        audiences: our names in each issuer's tokens; needed where the sidecar accepts tokens for
            other services too.

    Raises:
        ConfigurationError: ``socket_folder``: others may put a socket of theirs in its place.
    """

    def __init__(
        self, path: str | Path, audiences: Mapping[str, frozenset[str]] | None = None
    ) -> None:
        self._path = Path(path)
        self._audiences = None if audiences is None else dict(audiences)
        if self._path.parent.exists():
            check_folder(self._path)
        self._lock = threading.Lock()
        self._pid = -1
        self._blocking: httpx.Client | None = None
        self._of_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient]
        self._of_loop = weakref.WeakKeyDictionary()

    async def authenticate(
        self,
        token: str,
        max_staleness: float | None = None,
        on_stale: OnStale | None = None,
        certificate: PeerCertificate = None,
    ) -> Verified:
        """Accept a token, or say why not; ``max_staleness`` is in seconds.

        Raises:
            TokenRejected: it must not be accepted (401).
            AgentStale: nobody can say (503).
        """
        return await self._look(_question(token, max_staleness, on_stale, certificate))

    def authenticate_blocking(
        self,
        token: str,
        max_staleness: float | None = None,
        on_stale: OnStale | None = None,
        certificate: PeerCertificate = None,
    ) -> Verified:
        """As :meth:`authenticate`, for threads that run no event loop."""
        return self._look_blocking(_question(token, max_staleness, on_stale, certificate))

    def verify(
        self,
        token: str,
        max_staleness: float | None = None,
        on_stale: OnStale | None = None,
        certificate: PeerCertificate = None,
    ) -> Verified:
        """As :meth:`authenticate_blocking`, but the sidecar does not ask the issuer."""
        asked = _question(token, max_staleness, on_stale, certificate, may_ask=False)
        return self._look_blocking(asked)

    async def until_refused(
        self,
        token: str,
        max_staleness: float | None = None,
        on_stale: OnStale | None = None,
        certificate: PeerCertificate = None,
    ) -> TokenRejected | AgentStale:
        """Ask again every second, until it is refused or nobody can say; return why. The sidecar
        does not ask the issuer.
        """
        while True:
            try:
                await self._look(
                    _question(token, max_staleness, on_stale, certificate, may_ask=False)
                )
            except (TokenRejected, AgentStale) as refusal:
                return refusal
            await asyncio.sleep(LOOK_AGAIN_S)

    # --- life -----------------------------------------------------------------------------------

    async def run_in_loop(self) -> bool:
        """Whether the sidecar answers and is live; it may come later as well."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await self._client_of_this_loop().get(question.READY_PATH)
        except (httpx.HTTPError, TimeoutError, OSError):
            return False
        return _is_live(answer)

    async def leave_loop(self) -> None:
        """Close the connections of the running event loop."""
        with self._lock:
            client = self._of_loop.pop(asyncio.get_running_loop(), None)
        if client is not None and self._pid == os.getpid():
            await client.aclose()

    def start(self) -> bool:
        """As :meth:`run_in_loop`, for code without an event loop."""
        try:
            answer = self._blocking_client().get(question.READY_PATH)
        except (httpx.HTTPError, OSError):
            return False
        return _is_live(answer)

    def stop(self) -> None:
        """Close the connections of code without an event loop."""
        with self._lock:
            client, self._blocking = self._blocking, None
        if client is not None and self._pid == os.getpid():
            client.close()

    # --- connections ----------------------------------------------------------------------------

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

    async def _look(self, asked: bytes) -> Verified:
        began = lease_clock()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                status, body = await self._ask(asked)
        except (httpx.HTTPError, TimeoutError, OSError):
            raise AgentStale(UNREACHABLE) from None
        return self._verdict(status, body, began)

    def _look_blocking(self, asked: bytes) -> Verified:
        began = lease_clock()
        try:
            status, body = self._ask_blocking(asked, began + int(TIMEOUT_S * 1e9))
        except (httpx.HTTPError, TimeoutError, OSError):
            raise AgentStale(UNREACHABLE) from None
        return self._verdict(status, body, began)

    async def _ask(self, asked: bytes) -> tuple[int, bytes]:
        client = self._client_of_this_loop()
        try:
            return await _post(client, asked)
        except _CLOSED:
            return await _post(client, asked)

    def _ask_blocking(self, asked: bytes, deadline: int) -> tuple[int, bytes]:
        client = self._blocking_client()
        try:
            return _post_blocking(client, asked, deadline)
        except _CLOSED:
            return _post_blocking(client, asked, deadline)

    # --- verdicts -------------------------------------------------------------------------------

    def _verdict(self, status: int, body: bytes, began: int) -> Verified:
        """``began`` is on the lease's clock and before the sidecar looked; so its proof, which is
        good for ``valid_for`` from then on, is surely good that long after ``began``.
        """
        try:
            if status == 200:
                accepted = question.decode_accepted(body)
                return self._accepted(accepted, began)
            if status in (401, 503):
                refused = question.decode_refused(body)
                if status == 401:
                    raise TokenRejected(refused.code)
                raise AgentStale(refused.code, refused.retry_after)
        except (DecodeError, RecursionError):
            pass
        raise AgentStale(UNREACHABLE)

    def _accepted(self, accepted: question.Accepted, began: int) -> Verified:
        verified = accepted.verified
        if self._audiences is not None:
            aud = verified.token.aud
            ours = self._audiences.get(verified.token.iss, frozenset())
            if ours.isdisjoint((aud,) if type(aud) is str else aud):
                raise TokenRejected("aud")
        # What was accepted without a proof is for this moment; nothing runs out.
        proven = not (verified.unproven or verified.would_deny)
        if proven and lease_clock() > began + int(accepted.valid_for * 1e9):
            raise AgentStale("lease_lapsed")
        return verified


def _question(
    token: str,
    max_staleness: float | None,
    on_stale: OnStale | None,
    certificate: PeerCertificate,
    *,
    may_ask: bool = True,
) -> bytes:
    """A text that is no Unicode cannot be asked about; no token has such characters either.

    Raises:
        TokenRejected: ``characters`` or ``size``.
    """
    if type(token) is not str:
        raise TokenRejected("characters")
    try:
        asked = question.encode(
            Question(
                token=token,
                max_staleness=_at_least_0(max_staleness),
                on_stale=on_stale,
                certificate=thumbprint(certificate)
                if isinstance(certificate, bytes)
                else certificate,
                may_ask=may_ask,
            )
        )
    except UnicodeEncodeError:
        raise TokenRejected("characters") from None
    if len(asked) > question.MAX_QUESTION_BYTES:
        raise TokenRejected("size")
    return asked


def _at_least_0(max_staleness: float | None) -> float | None:
    return None if max_staleness is None else max(0.0, max_staleness)


async def _post(client: httpx.AsyncClient, asked: bytes) -> tuple[int, bytes]:
    async with client.stream("POST", question.VERIFY_PATH, content=asked, headers=_JSON) as answer:
        body = b""
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > question.MAX_ANSWER_BYTES:
                raise AgentStale(UNREACHABLE)
    return answer.status_code, body


def _post_blocking(client: httpx.Client, asked: bytes, deadline: int) -> tuple[int, bytes]:
    """The library's time-outs are for each read; the deadline is for all of them."""
    with client.stream("POST", question.VERIFY_PATH, content=asked, headers=_JSON) as answer:
        body = b""
        for chunk in answer.iter_raw():
            body += chunk
            if len(body) > question.MAX_ANSWER_BYTES or lease_clock() > deadline:
                raise AgentStale(UNREACHABLE)
    return answer.status_code, body


def _is_live(answer: httpx.Response) -> bool:
    try:
        described = strict_json.loads_object(answer.content)
    except EncodingRejected:
        return False
    return answer.status_code == 200 and described.get("state") == "live"
