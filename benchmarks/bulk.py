"""A million tokens revoked in one call: how fast, and what it costs the issuer in memory.

`tocsin revoke --file` streams them to an issuer in a process of its own, on real servers that fsync
everything; it ends when all of them are in the ledger. Half a million are ids of the issuer's own,
as its lanes count them, and as many are ids of no form, which the denylist keeps as digests. The
peer puts the same ids into the same Valkey as keys that expire, in pipelines of the same length:
what a denylist in Redis alone would do, which no agent hears of.

``rss_peak_mb`` is what the issuer's process has grown by at its highest, ``rss_mb`` what is left of
that at the end, when its own agent holds them all in its denylist.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.bars import Bar, report
from benchmarks.stack import Stack, running_stack
from tocsin_issuer.core.jti_allocator import JtiAllocator
from tocsin_issuer.revoking.bulk import PER_EVENT
from tocsin_issuer.store.connection import connect as connect_redis

TOKENS = 1_000_000
BARS = (Bar("rss_peak_mb", "<=", 32), Bar("ratio", ">=", 0.3))
LIFE_S = 600

Figures = dict[str, float]


def ids(count: int) -> Iterator[str]:
    """In turn one of the issuer's own, and one of no form."""
    allocator, now = JtiAllocator(os.urandom), int(time.time())
    for number in range(count):
        yield secrets.token_urlsafe(16) if number % 2 else allocator.allocate(now, os.getpid())


def rss_mb(pid: int, which: str) -> float:
    """``VmRSS`` now, or ``VmHWM``, the highest so far."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(which + ":"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"no {which} of the issuer")


async def into_redis(url: str, names: Sequence[str], exp: int) -> float:
    """The peer: how many keys a second."""
    redis = connect_redis(url)
    try:
        started = time.perf_counter()
        for start in range(0, len(names), PER_EVENT):
            async with redis.pipeline(transaction=False) as pipe:
                for name in names[start : start + PER_EVENT]:
                    pipe.set("peer:" + name, 1, exat=exp)
                await pipe.execute()
        return len(names) / (time.perf_counter() - started)
    finally:
        await redis.aclose()


def revoked(stack: Stack, path: Path) -> dict[str, int | str]:
    """`tocsin revoke --file`: how it ended."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("tocsin")), "revoke", "--file", str(path)],
        cwd=stack.folder,
        stdout=subprocess.PIPE,
        check=True,
    )
    last: dict[str, int | str] = json.loads(done.stdout)
    return last


def measure(count: int) -> Figures:
    """Revoke them, then let the peer do it."""
    with running_stack("orders") as stack:
        names, exp = list(ids(count)), int(time.time()) + LIFE_S
        path = stack.folder / "tokens.txt"
        path.write_text("".join(f"{name} {exp}\n" for name in names))
        before = rss_mb(stack.issuer_pid, "VmRSS")
        Path(f"/proc/{stack.issuer_pid}/clear_refs").write_text(
            "5"
        )  # the highest is what it is now
        started = time.perf_counter()
        last = revoked(stack, path)
        took_s = time.perf_counter() - started
        if (last["status"], last["accepted"]) != ("committed", count):
            raise SystemExit(f"not all of them were revoked: {last}")
        peak, after = (rss_mb(stack.issuer_pid, which) for which in ("VmHWM", "VmRSS"))
        peer = asyncio.run(into_redis(stack.redis_url, names, exp))
    return {
        "tokens": count,
        "redis_set_per_s": round(peer),
        "tokens_per_s": round(count / took_s),
        "ratio": round(count / took_s / peer, 3),
        "rss_peak_mb": round(peak - before, 1),
        "rss_mb": round(after - before, 1),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--tokens", type=int, default=TOKENS)
    options = parser.parse_args(arguments)
    return report(measure(options.tokens), BARS, only_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
