"""What a revoked token costs in memory, and whether keeping 10 M of them ever stops the verifier.

10 M revoked of 1 G issued in 2,000 lanes, added one by one, each part in a fresh process: memory is
the difference of the process's resident set. The peers, a Python set and keys of a real Valkey, are
measured in the same run, on fewer entries, per entry. Pauses: `benchmarks.denylist_parts`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import redis

from benchmarks.bars import Bar, report
from benchmarks.denylist_parts import PARTS, Figures, lane_names, places
from tocsin_issuer.embedded import EmbeddedValkey
from tocsin_schemas import jti

REVOKED = 10_000_000
FEWER = 1_000_000
VALKEY_KEYS = 200_000

AT_MOST = {
    "bytes_per_revoked": 3.0,
    "bytes_per_revoked_loaded": 3.0,
    "snapshot_bytes_per_revoked": 3.0,
    "lookup_us": 0.5,
    "max_pause_ms_add": 5.0,
    "max_pause_ms_compaction": 5.0,
    "max_pause_ms_drop": 5.0,
    "max_pause_ms_drop_foreign": 5.0,
    "max_pause_ms_burst": 5.0,
    "max_pause_ms_beat": 5.0,
    "max_pause_ms_tick": 5.0,
    "python_gc_ms": 5.0,
    "burst_python_gc_ms": 5.0,
    "foreign_bytes_per_revoked": 24.0,
    "foreign_lookup_us": 1.0,
}


def in_a_fresh_process(part: str, count: int, file: Path) -> Figures:
    """Run one part by itself."""
    command = [sys.executable, "-m", "benchmarks.denylist", "--part", part, str(count), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{part}: {done.stderr}")
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def valkey_figures(folder: Path) -> Figures:
    """Bytes for each revoked id as a key with an expiry."""
    with EmbeddedValkey(folder) as server, redis.Redis.from_url(server.url) as client:
        before = int(client.info("memory")["used_memory"])
        names = [
            "revoked:" + jti.compose(jti.lane_of(place), jti.counter_of(place), bytes(5))
            for place in islice(places(lane_names(), REVOKED), VALKEY_KEYS)
        ]
        for start in range(0, len(names), 1000):
            pipe = client.pipeline(transaction=False)
            for name in names[start : start + 1000]:
                pipe.set(name, b"", ex=3600)
            pipe.execute()
        held = int(client.info("memory")["used_memory"]) - before
        return {"valkey_bytes_per_revoked": held / int(client.dbsize())}


def measure(revoked: int, fewer: int) -> Figures:
    """All figures."""
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as name:
        file = Path(name) / "snapshot"
        figures = in_a_fresh_process("lanes", revoked, file)
        figures |= in_a_fresh_process("load", revoked, file)
        figures |= in_a_fresh_process("burst", revoked, file)
        for part in ("foreign", "set"):
            figures |= in_a_fresh_process(part, fewer, file)
        figures |= valkey_figures(Path(name) / "valkey")
    figures["set_over_ours"] = figures["set_bytes_per_revoked"] / figures["bytes_per_revoked"]
    figures["valkey_over_ours"] = figures["valkey_bytes_per_revoked"] / figures["bytes_per_revoked"]
    return {
        key: int(value) if value == int(value) else round(value, 4)
        for key, value in figures.items()
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--revoked", type=int, default=REVOKED, help="how many, 10 M by default")
    parser.add_argument("--part", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.part:
        part, count, file = options.part
        print(json.dumps(PARTS[part](int(count), file)))
        return 0
    figures = measure(options.revoked, min(FEWER, options.revoked))
    bars = [Bar(key, "<=", most) for key, most in AT_MOST.items()]
    return report(figures, bars, only_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
