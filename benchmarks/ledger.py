"""How many revocations per second get into the ledger, every one of them fsynced.

The peer is what a service without an outbox does: sign one revocation, publish it, wait for its
PubAck, then the next one, which names it, with a bare client to a stream configured like ours and
no journal. How fast that would be with all signatures made beforehand, which no chain allows, is
the physical limit of one publish at a time, and printed beside it. Ours is the way of a
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
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median

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


def one_record(signer: PrivateKeySigner, n: int, prev: str, jti: str) -> str:
    """A record that revokes one token."""
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
        prev=prev,
        carried=[event],
        signer=signer,
    )


def chained(signer: PrivateKeySigner, ids: Sequence[str]) -> Iterator[bytes]:
    """A record for each of the tokens, signed when it is asked for."""
    prev = record.GENESIS_PREV
    for n, jti in enumerate(ids, 1):
        text = one_record(signer, n, prev, jti)
        prev = record.hash_of(text)
        yield text.encode()


async def serial_per_s(folder: Path, count: int, *, signed_before: bool) -> float:
    """One publish per revocation, each after the PubAck of the one before it."""
    texts: Iterable[bytes] = chained(generate("RS256"), jtis(count))
    if signed_before:
        texts = list(texts)
    with EmbeddedNats(folder) as nats:
        client = await connect_bus(BusAddress((nats.url,), nats.core_credentials), name="bench")
        try:
            await declare_ledger(client)
            return count / await _publish_serially(client, texts)
        finally:
            await client.close()


async def _publish_serially(client: Client, texts: Iterable[bytes]) -> float:
    """How many seconds it took."""
    started = time.perf_counter()
    for text in texts:
        answer = await client.request(LEDGER_PREFIX + "tokens-revoked", text, timeout=5)
        if "error" in json.loads(answer.data):
            raise SystemExit("the bare client's publish was refused")
    return time.perf_counter() - started


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
    """Peers and ours in turn, so that all meet the same machine; the medians."""
    peers: list[float] = []
    limits: list[float] = []
    ours: list[float] = []
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as name, running_stack("orders") as up:
        for round_ in range(ROUNDS):
            for figures, before in ((peers, False), (limits, True)):
                folder = Path(name) / f"{round_}-{before}"
                figures.append(asyncio.run(serial_per_s(folder, serial, signed_before=before)))
            ours.append(grouped_per_s(up, count))
        arriving = arriving_per_s(up, count)
        bulk = grouped_per_s(up, BULK, MAX_AT_ONCE)
    peer, limit, own = median(peers), median(limits), median(ours)
    return {
        "serial_per_s": round(peer, 1),
        "signed_before_per_s": round(limit, 1),
        "grouped_per_s": round(own, 1),
        "speedup": round(own / peer, 2),
        "speedup_over_signed_before": round(own / limit, 2),
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
