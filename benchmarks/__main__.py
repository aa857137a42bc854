"""Run every benchmark, one after the other, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.bars import MISSED

NAMES = (
    "verify",
    "rejection",
    "denylist",
    "propagation",
    "sidecar",
    "ledger",
    "issue",
    "bulk",
)


def main() -> int:
    """Print the table of all figures and bars; the exit status is 1 where one is missed."""
    failed: list[str] = []
    for name in NAMES:
        print(f"\n{name}", flush=True)
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}"],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        *table, _ = done.stdout.splitlines() or [""]  # the last line is for programs
        print("\n".join(table), flush=True)
        missed = [line.strip() for line in table if line.endswith(MISSED)]
        if done.returncode and not missed:
            missed = [f"ended with {done.returncode}"]
        failed += [f"{name}: {line}" for line in missed]
    print("\nevery bar is met" if not failed else "\n" + "\n".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
