"""How every part of Tocsin connects to NATS."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import nats
from nats.aio.client import Client

from tocsin_schemas.errors import ConfigurationError

PING_INTERVAL_S = 5
RECONNECT_WAIT_S = 0.25
CONNECT_TIMEOUT_S = 2


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
    return await nats.connect(
        servers=list(servers),
        name=name,
        nkeys_seed=None if address.credentials is None else str(address.credentials),
        tls=tls,
        connect_timeout=CONNECT_TIMEOUT_S,
        reconnect_time_wait=RECONNECT_WAIT_S,
        max_reconnect_attempts=-1,
        ping_interval=PING_INTERVAL_S,
        max_outstanding_pings=2,
        error_cb=on_error,
        disconnected_cb=on_lost,
        reconnected_cb=on_connected,
        closed_cb=on_closed,
        pending_size=2 * 2**20,
    )
