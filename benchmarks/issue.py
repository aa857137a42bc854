"""How many access tokens per second one core issues, against the bare RSA signature.

The way of a login's token through the real minter: the key whose turn it is, an id, a place in the
register and in its session's list (one script on a real Valkey, which fsyncs it before it answers),
claims, a signature. Many requests are in flight at once, as they are in an issuer; those that come
together share one script and one fsync. The peer is the signature
alone, RSA-2048 with SHA-256, over a text of the same length. This process keeps to one core;
Valkey may use the other one.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from redis.asyncio import Redis

from benchmarks.bars import Bar, report
from tocsin_issuer.config import IssuerConfig
from tocsin_issuer.embedded import EmbeddedValkey
from tocsin_issuer.keys import ceremony
from tocsin_issuer.keys.ceremony import IssuerFolder
from tocsin_issuer.keys.key_turns import KeyTurns
from tocsin_issuer.minting import MintedToken, TokenMinter
from tocsin_issuer.store.connection import connect as connect_redis
from tocsin_issuer.store.key_choice import KeyChoice
from tocsin_issuer.store.outbox import Outbox
from tocsin_issuer.store.register import Register
from tocsin_issuer.store.sessions import OpenSession, SessionStore
from tocsin_revocation_bus.core.replica import Replica
from tocsin_revocation_bus.core.trust import PinnedRoots
from tocsin_schemas.jws import Signer
from tocsin_schemas.keyset import Policy

BAR = 0.6
TOKENS = 4_000
AT_ONCE = 256
ROUNDS = 5
AUDIENCES = ("orders",)
CONFIG = IssuerConfig(iss="https://issuer.example", default_audiences=AUDIENCES)

Figures = dict[str, float]


async def key_turns(folder: Path, redis: Redis) -> KeyTurns:
    """The keys of an issuer with the schedule of several rotations, as it has read its ledger."""
    keyset = ceremony.init(
        folder, issuer=CONFIG.iss, policy=Policy(), now=int(time.time()) - 1, rotations=3
    )
    opened = IssuerFolder.open(folder)
    try:
        roots = PinnedRoots(frozenset(keyset.roots.public_keys()))
        replica = Replica(CONFIG.iss, roots)
        replica.trust = replica.trust.accept(opened.newest_keyset())
        turns = KeyTurns(opened.keys, replica, KeyChoice(redis), time.time)
        await turns.refresh()
        return turns
    finally:
        opened.close()


async def open_sessions(redis: Redis) -> list[OpenSession]:
    """Of as many users as there are requests in flight."""
    store = SessionStore(
        redis,
        Outbox(redis),
        idle_s=CONFIG.session_idle_s,
        absolute_s=CONFIG.session_absolute_s,
        max_token_life_s=CONFIG.max_token_life_s,
    )
    subs = [f"u_{number:022d}" for number in range(AT_ONCE)]
    return list(
        await asyncio.gather(*(store.create(sub, "first-party", AUDIENCES) for sub in subs))
    )


def raw_sign_per_s(signer: Signer, length: int, count: int) -> float:
    """The bare signature, over texts of a token's length."""
    texts = [os.urandom(length) for _ in range(count)]
    started = time.perf_counter()
    for text in texts:
        signer.sign(text)
    return count / (time.perf_counter() - started)


async def token_of(minter: TokenMinter, session: OpenSession) -> MintedToken:
    """What a login gets."""
    return await minter.mint(
        session.sub,
        session.client_id,
        session.audiences,
        sid=session.sid,
        role="user",
        perms=("orders:read", "orders:write"),
    )


async def tokens_per_s(minter: TokenMinter, sessions: Sequence[OpenSession], count: int) -> float:
    """Tokens for many users, ``AT_ONCE`` requests in flight."""
    waiting = list(range(count))

    async def ask() -> None:
        while waiting:
            await token_of(minter, sessions[waiting.pop() % len(sessions)])

    started = time.perf_counter()
    await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
    return count / (time.perf_counter() - started)


async def measure(url: str, folder: Path, count: int) -> Figures:
    """Peer and ours in turn, so that both meet the same machine; the medians."""
    redis = connect_redis(url)
    peers: list[float] = []
    ours: list[float] = []
    try:
        turns, sessions = await key_turns(folder, redis), await open_sessions(redis)
        minter = TokenMinter(turns, Register(redis, CONFIG.max_token_life_s), CONFIG)
        one = await token_of(minter, sessions[0])
        for _ in range(ROUNDS):
            peers.append(raw_sign_per_s(turns.active(), len(one.token), count))
            ours.append(await tokens_per_s(minter, sessions, count))
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
    logging.getLogger("tocsin").setLevel(logging.ERROR)
    with (
        tempfile.TemporaryDirectory(prefix="tocsin-bench-") as name,
        EmbeddedValkey(Path(name) / "valkey") as valkey,
    ):
        on_one_core()
        figures = asyncio.run(measure(valkey.url, Path(name) / "issuer", options.tokens))
    return report(figures, (Bar("ratio", ">=", BAR),), only_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
