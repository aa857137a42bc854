"""Run every benchmark, one after the other, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

NAMES = (
    "verify",
    "rejection",
    "denylist",
    "propagation",
    "sidecar",
    "ledger",
    "issue",
)


def main() -> int:
    """Print a table of all figures; the exit status is that of the worst benchmark."""
    worst = 0
    for name in NAMES:
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}", "--json"],
            capture_output=True,
            text=True,
            check=False,
        )
        worst = max(worst, done.returncode)
        print(f"\n{name}")
        if done.returncode:
            print(done.stderr)
            continue
        for key, value in json.loads(done.stdout.splitlines()[-1]).items():
            print(f"  {key:<28} {value}")
    return worst


if __name__ == "__main__":
    sys.exit(main())
