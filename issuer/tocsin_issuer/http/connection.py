"""One HTTP connection: what uvicorn does not bound by itself.

It has no limit for the time that a request's head may take, and with httptools none for its size:
whoever sends one byte a minute would hold a connection, and whoever sends headers without end our
memory. Bodies are bounded by :class:`~tocsin_issuer.http.body_limit.BodyLimit`.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

from tocsin_issuer.config import IssuerConfig
from tocsin_issuer.http import errors
from tocsin_verifier_agent.uvicorn import TlsHttp


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """``head_timeout_s`` is from the connection, or a request's first byte, to the end of its head,
    and as long again for a TLS handshake before it; ``connections`` is for one listener;
    ``grace_s`` is what requests have left at the end.
    """

    head_bytes: int
    head_timeout_s: float
    connections: int
    grace_s: int

    @classmethod
    def of(cls, config: IssuerConfig) -> "ConnectionLimits":
        """Those of a configuration. At the end, whoever waits for the ledger gets an answer."""
        grace_s = int(config.commit_wait_s) + 4
        return cls(config.max_head_bytes, config.head_timeout_s, config.max_connections, grace_s)


class _Limited:
    """In front of either of uvicorn's protocols."""

    limits: ConnectionLimits
    transport: asyncio.Transport
    connections: set[Any]
    cycle: Any
    loop: asyncio.AbstractEventLoop
    _deadline: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """From asyncio."""
        super().connection_made(transport)  # type: ignore[misc]
        if len(self.connections) > self.limits.connections:
            self._refuse(503, "busy", "too many connections")
        else:
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """From asyncio."""
        self._head_is_here()
        super().connection_lost(exc)  # type: ignore[misc]

    def data_received(self, data: bytes) -> None:
        """From asyncio."""
        if self._between_requests():
            self._expect_head()
            self._head_bytes += len(data)
        super().data_received(data)  # type: ignore[misc]
        if not self._between_requests():
            self._head_is_here()
        elif self._head_bytes > self.limits.head_bytes:
            self._refuse(431, "head_too_large", "the head of the request is too large")

    def _between_requests(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _expect_head(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.limits.head_timeout_s, self._late)

    def _head_is_here(self) -> None:
        self._head_bytes = 0
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        if self._between_requests():
            self._refuse(408, "head_timeout", "the head of the request took too long")

    def _refuse(self, status: int, code: str, text: str) -> None:
        self._head_is_here()
        if self.transport.is_closing():
            return
        self.transport.write(errors.raw_answer(status, code, text))
        self.transport.close()


class LimitedHttp(_Limited, TlsHttp):
    """The protocol of a listener, once it has ``limits``."""


def limited(limits: ConnectionLimits) -> type[asyncio.Protocol]:
    """A protocol with these limits."""
    made: type[asyncio.Protocol] = type("LimitedHttp", (LimitedHttp,), {"limits": limits})
    return made
