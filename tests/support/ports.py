"""Loopback ports that no other test takes between the choice and the start of a server."""

from __future__ import annotations

import os
from itertools import count

from tocsin_issuer.embedded import port as ports

# Below the range that embedded servers take theirs from; each of pytest-xdist's workers has a part.
_FIRST, _SHARE, _SHARES = 8_000, 1_500, 8
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _SHARES
_chosen = count(os.getpid())


def find_free() -> int:
    """A port that is free now, and that this process chooses again only when its share is used up.

    Seconds may pass until a server listens there, which is long where hundreds of servers start.
    """
    for _ in range(_SHARE):
        port = _FIRST + _WORKER * _SHARE + next(_chosen) % _SHARE
        if ports.is_free(port):
            return port
    raise RuntimeError("no free loopback port")
