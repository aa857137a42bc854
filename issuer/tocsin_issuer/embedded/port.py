"""Loopback ports that a server can come back to."""

from __future__ import annotations

import random
import socket
from pathlib import Path
from typing import Final

LOOPBACK: Final = "127.0.0.1"

_DEFAULT_EPHEMERAL_LOW: Final = 32768
_RANGE: Final = 12_000
_LOWEST: Final = 1024
_EPHEMERAL_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections of the last run that linger in TIME_WAIT are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def find_free() -> int:
    """A free port below the kernel's ephemeral range; another process may still take it first.

    Not one that the kernel picks. While a server is down its clients call its port again and
    again; from the ephemeral range the kernel could give such a client that very port as its own,
    the client would be connected to itself, and the server could not come back.
    """
    try:
        low = int(_EPHEMERAL_RANGE.read_text().split()[0])
    except FileNotFoundError:
        low = _DEFAULT_EPHEMERAL_LOW
    if low - _RANGE < _LOWEST:
        low = _DEFAULT_EPHEMERAL_LOW
    candidates = list(range(low - _RANGE, low))
    random.shuffle(candidates)
    for port in candidates:
        if is_free(port):
            return port
    raise RuntimeError("no free loopback port")
