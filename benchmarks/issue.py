"""How many access tokens per second one core issues, against the bare RSA signature.

The way of the real minter: an id, a place in the register (one script on a real Valkey, which
fsyncs it before it answers), claims, a signature. Many requests are in flight at once, as they are
in an issuer; those that come together share one script and one fsync. The peer is the signature
alone, RSA-2048 with SHA-256, over a text of the same length. This process keeps to one core;
Valkey may use the other one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tocsin_issuer.config import IssuerConfig
from tocsin_issuer.embedded import EmbeddedValkey
from tocsin_issuer.keys.signer import PrivateKeySigner, generate
from tocsin_issuer.minting import TokenMinter
from tocsin_issuer.store.connection import connect as connect_redis
from tocsin_issuer.store.register import Register

BAR = 0.6
AIM = 0.85
TOKENS = 4_000
AT_ONCE = 256
ROUNDS = 5
CONFIG = IssuerConfig(iss="https://issuer.example", default_audiences=("orders",))

Figures = dict[str, float]


class OneKey:
    """The key manager, as far as minting needs it."""

    def __init__(self, signer: PrivateKeySigner) -> None:
        self._signer = signer

    def active(self) -> PrivateKeySigner:
        """The one key."""
        return self._signer


def raw_sign_per_s(signer: PrivateKeySigner, length: int, count: int) -> float:
    """The bare signature, over texts of a token's length."""
    texts = [os.urandom(length) for _ in range(count)]
    started = time.perf_counter()
    for text in texts:
        signer.sign(text)
    return count / (time.perf_counter() - started)


async def tokens_per_s(minter: TokenMinter, count: int) -> float:
    """Tokens for many users, ``AT_ONCE`` requests in flight."""
    waiting = list(range(count))

    async def ask() -> None:
        while waiting:
            number = waiting.pop()
            await minter.mint(
                f"u_{number:022d}",
                "first-party",
                ("orders",),
                role="user",
                perms=("orders:read", "orders:write"),
            )

    started = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
    return count / (time.perf_counter() - started)


async def measure(url: str, count: int) -> Figures:
    """Peer and ours in turn, so that both meet the same machine; the medians."""
    redis = connect_redis(url)
    signer = generate("RS256")
    minter = TokenMinter(OneKey(signer), Register(redis, CONFIG.max_token_life_s), CONFIG)
    peers: list[float] = []
    ours: list[float] = []
    try:
        one = await minter.mint("u_0", "first-party", ("orders",), perms=("orders:read",))
        for _ in range(ROUNDS):
            peers.append(raw_sign_per_s(signer, len(one.token), count))
            ours.append(await tokens_per_s(minter, count))
    finally:
        await redis.aclose()
    peer, own = sorted(peers)[ROUNDS // 2], sorted(ours)[ROUNDS // 2]
    return {
        "raw_sign_per_s": round(peer, 1),
        "tokens_per_s": round(own, 1),
        "ratio": round(own / peer, 3),
        "at_once": AT_ONCE,
    }


def on_one_core() -> None:
    """Keep this process on one core, where the system lets us; what it started stays free."""
    with suppress(AttributeError, OSError):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--tokens", type=int, default=TOKENS)
    options = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory(prefix="tocsin-bench-") as name,
        EmbeddedValkey(Path(name)) as valkey,
    ):
        on_one_core()
        figures = asyncio.run(measure(valkey.url, options.tokens))
    if not options.json:
        for key, value in figures.items():
            print(f"{key:<20} {value}")
        met = "met" if figures["ratio"] >= BAR else "MISSED"
        print(f"bar: ratio >= {BAR} (aim {AIM}): {met}")
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
