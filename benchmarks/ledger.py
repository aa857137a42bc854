"""How many revocations per second get into the ledger, every one of them fsynced.

The peer is what a service without an outbox does: publish one revocation, wait for its PubAck,
publish the next one, with a bare client to a stream configured like ours. Ours is the way of a
real issuer process: the revocations wait in the outbox, one entry each, and the sequencer makes
them records, journals each record, publishes it and settles it. The issuer is stopped (SIGSTOP)
while they are put there, so that the writers' own speed is not what is measured; with `arriving`
they come while it works, from writers on the same two cores; with `bulk` a thousand tokens stand in
each entry, as one command may revoke them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import redis
from nats.aio.client import Client

from benchmarks.bars import Bar, report
from benchmarks.stack import Stack, running_stack
from tocsin_issuer.core.jti_allocator import JtiAllocator
from tocsin_issuer.embedded import EmbeddedNats
from tocsin_issuer.keys.signer import PrivateKeySigner, generate
from tocsin_issuer.store import names
from tocsin_issuer.store.connection import connect as connect_redis
from tocsin_issuer.store.event_text import new_event_id
from tocsin_issuer.store.outbox import Outbox
from tocsin_issuer.store.revocations import MAX_AT_ONCE, Revocations
from tocsin_revocation_bus.jetstream.connection import BusAddress
from tocsin_revocation_bus.jetstream.connection import connect as connect_bus
from tocsin_revocation_bus.jetstream.streams import declare_ledger
from tocsin_schemas import record
from tocsin_schemas.events import RevokedToken, TokensRevoked
from tocsin_schemas.subjects import LEDGER_PREFIX

BARS = (Bar("speedup", ">=", 50),)  # aim: 200
REVOKED = 20_000
SERIAL = 1_000
BULK = 500_000
WRITERS = 32
LIFE_S = 600
ROUNDS = 3

Figures = dict[str, float]


def jtis(count: int) -> list[str]:
    """Ids of tokens as the issuer gives them out."""
    allocator, now = JtiAllocator(os.urandom), int(time.time())
    return [allocator.allocate(now, os.getpid()) for _ in range(count)]


def one_record(signer: PrivateKeySigner, n: int, jti: str) -> bytes:
    """A record that revokes one token; the bare client signs it beforehand."""
    now = int(time.time())
    event = TokensRevoked(
        id=new_event_id(),
        reason="logout",
        initiator="user",
        tokens=(RevokedToken(jti, now + LIFE_S),),
    )
    return record.build(
        iss="https://issuer.example",
        iat=now,
        txn="benchmark",
        term=1,
        n=n,
        prev=record.GENESIS_PREV,
        carried=[event],
        signer=signer,
    ).encode()


async def serial_per_s(folder: Path, count: int) -> float:
    """One publish per revocation, each after the PubAck of the one before it."""
    signer = generate("RS256")
    texts = [one_record(signer, n, jti) for n, jti in enumerate(jtis(count), 1)]
    with EmbeddedNats(folder) as nats:
        client = await connect_bus(BusAddress((nats.url,), nats.core_credentials), name="bench")
        try:
            await declare_ledger(client)
            return await _publish_serially(client, texts)
        finally:
            await client.close()


async def _publish_serially(client: Client, texts: Sequence[bytes]) -> float:
    started = time.perf_counter()
    for text in texts:
        answer = await client.request(LEDGER_PREFIX + "tokens-revoked", text, timeout=5)
        if "error" in json.loads(answer.data):
            raise SystemExit("the bare client's publish was refused")
    return len(texts) / (time.perf_counter() - started)


async def put(url: str, count: int, together: int = 1) -> None:
    """Revoke that many tokens through the store, ``together`` in one entry, by several writers."""
    client = connect_redis(url)
    revocations = Revocations(client, Outbox(client), max_token_life_s=3600)
    tokens = [(jti, int(time.time()) + LIFE_S) for jti in jtis(count)]
    waiting = [tokens[start : start + together] for start in range(0, count, together)]

    async def write() -> None:
        while waiting:
            await revocations.revoke_tokens(waiting.pop(), "logout", "user")

    try:
        await asyncio.gather(*(write() for _ in range(WRITERS)))
    finally:
        await client.aclose()


def until_settled(url: str) -> None:
    """Wait until the outbox is empty: all of it is in the ledger, and settled."""
    with redis.Redis.from_url(url) as client:
        while client.xlen(names.OUTBOX):
            time.sleep(0.002)


def grouped_per_s(stack: Stack, count: int, together: int = 1) -> float:
    """From the moment the issuer goes on until the last of them is in the ledger and settled."""
    os.kill(stack.issuer_pid, signal.SIGSTOP)
    try:
        asyncio.run(put(stack.redis_url, count, together))
        started = time.perf_counter()
    finally:
        os.kill(stack.issuer_pid, signal.SIGCONT)
    until_settled(stack.redis_url)
    return count / (time.perf_counter() - started)


def arriving_per_s(stack: Stack, count: int) -> float:
    """From the first write until the last of them is in the ledger and settled."""
    started = time.perf_counter()
    asyncio.run(put(stack.redis_url, count))
    until_settled(stack.redis_url)
    return count / (time.perf_counter() - started)


def measure(count: int, serial: int) -> Figures:
    """Peer and ours in turn, so that both meet the same machine; the medians."""
    peers: list[float] = []
    ours: list[float] = []
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as name, running_stack("orders") as up:
        for round_ in range(ROUNDS):
            peers.append(asyncio.run(serial_per_s(Path(name) / str(round_), serial)))
            ours.append(grouped_per_s(up, count))
        arriving = arriving_per_s(up, count)
        bulk = grouped_per_s(up, BULK, MAX_AT_ONCE)
    peer, own = sorted(peers)[ROUNDS // 2], sorted(ours)[ROUNDS // 2]
    return {
        "serial_per_s": round(peer, 1),
        "grouped_per_s": round(own, 1),
        "speedup": round(own / peer, 2),
        "arriving_per_s": round(arriving, 1),
        "bulk_per_s": round(bulk, 1),
        "revocations": count,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--revoked", type=int, default=REVOKED)
    parser.add_argument("--serial", type=int, default=SERIAL)
    options = parser.parse_args(arguments)
    return report(measure(options.revoked, options.serial), BARS, only_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
