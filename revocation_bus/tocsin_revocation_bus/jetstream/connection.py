"""How every part of Tocsin connects to NATS."""

from __future__ import annotations

import random
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, cast

from nats.aio.client import Client, Server, Srv

from tocsin_schemas.errors import ConfigurationError

PING_INTERVAL_S = 5
RECONNECT_WAIT_S = (0.25, 2.0)  # shortest and longest pause between attempts
CONNECT_TIMEOUT_S = 5  # a server that thousands return to at once takes its time


class PendingLimits(TypedDict):
    """What `Client.subscribe` takes."""

    pending_msgs_limit: int
    pending_bytes_limit: int


# A slow consumer must not lose records.
PENDING_LIMITS: PendingLimits = {"pending_msgs_limit": -1, "pending_bytes_limit": 256 * 2**20}


@dataclass(frozen=True, slots=True)
class BusAddress:
    """Where NATS is and what to show it. ``credentials`` is a file that holds an nkey seed."""

    servers: tuple[str, ...]
    credentials: Path | None = None
    ca: Path | None = None


class BusClient(Client):
    """nats-py's client, which reads headers at less cost and closes when its server is gone.

    The library looks at every character of every header's name in Python: 9 µs and more for
    each message of the republished ledger. Nothing here rests on the override: where
    the library no longer calls it, its own takes over.
    """

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        headers: dict[str, str] = {}
        for line in raw.decode("utf-8", "replace").split("\r\n"):
            name, colon, value = line.partition(":")
            if colon:
                headers[name.strip()] = value.strip()
        return headers

    async def _connect_to_server(self, s: Srv) -> None:
        """The library forgets the connection of an attempt whose handshake timed out."""
        if self._transport is not None:
            self._transport.close()  # type: ignore[no-untyped-call]
        await super()._connect_to_server(s)

    async def close(self) -> None:
        """Close for good, connected or not."""
        try:
            await super().close()
        except OSError:
            # It has failed over what was still to be sent, which is gone now; the rest is still to
            # be done, and is done only for a client that is not closed.
            self._status = Client.DISCONNECTED
            await super().close()


def next_server(servers: list[Server], _info: Mapping[str, object]) -> tuple[Server | None, float]:
    """Which server to reconnect to, and after how many seconds.

    The one that has failed least, after a pause that grows with its failures. The pause differs
    from client to client, the first one too: a restarted server has thousands of them.
    """
    if not servers:
        return None, RECONNECT_WAIT_S[1]
    failures = min(server.reconnects for server in servers)
    chosen = random.choice([one for one in servers if one.reconnects == failures])  # noqa: S311
    shortest, longest = RECONNECT_WAIT_S
    pause = min(shortest * 2 ** min(failures, 8), longest)
    return chosen, pause * random.uniform(0.5 if failures else 0.0, 1.0)  # noqa: S311


async def _nothing() -> None:
    return


async def _no_error(error: Exception) -> None:
    return


def check_credentials(path: Path) -> None:
    """Refuse a credentials file that is missing, or that others can read.

    Raises:
        ConfigurationError: ``credentials_missing`` or ``credentials_mode``.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        raise ConfigurationError(
            "credentials_missing", f"{path}: cannot read the credentials file"
        ) from None
    if mode & 0o077:
        raise ConfigurationError(
            "credentials_mode", f"{path}: others can read the credentials; chmod 600"
        )


async def connect(
    address: BusAddress,
    *,
    name: str,
    on_connected: Callable[[], Awaitable[None]] = _nothing,
    on_lost: Callable[[], Awaitable[None]] = _nothing,
    on_error: Callable[[Exception], Awaitable[None]] = _no_error,
    on_closed: Callable[[], Awaitable[None]] = _nothing,
) -> Client:
    """Connect, trying for as long as it takes; afterwards reconnect for as long as it takes.

    ``on_connected`` is called after each *re*connection.
    """
    if address.credentials is not None:
        check_credentials(address.credentials)
    tls: ssl.SSLContext | None = None
    if address.ca is not None:
        tls = ssl.create_default_context(cafile=str(address.ca))
    servers: Sequence[str] = address.servers
    client = BusClient()
    await client.connect(
        servers=list(servers),
        name=name,
        nkeys_seed=None if address.credentials is None else str(address.credentials),
        tls=tls,
        connect_timeout=CONNECT_TIMEOUT_S,
        reconnect_time_wait=cast(int, RECONNECT_WAIT_S[0]),  # any number that can be slept
        reconnect_to_server_handler=next_server,
        max_reconnect_attempts=-1,
        ping_interval=PING_INTERVAL_S,
        max_outstanding_pings=2,
        error_cb=on_error,
        disconnected_cb=on_lost,
        reconnected_cb=on_connected,
        closed_cb=on_closed,
        pending_size=2 * 2**20,
    )
    return client
