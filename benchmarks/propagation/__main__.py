"""Run it: `python -m benchmarks.propagation [--json]`; the last line is one JSON object.

Keys without a size in them are those of the most agents. Times are milliseconds where they end in
`_ms`, seconds where they end in `_s`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from benchmarks.bars import Bar, report
from benchmarks.propagation import fanout, storm

SIZES = (1, 10, 100)
ROUNDS = 300
STORM_AGENTS = 2000


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="agents, rising")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="for each size")
    parser.add_argument("--storm-agents", type=int, default=STORM_AGENTS, help="0: no storm")
    parser.add_argument(
        "--storm-down-s", type=float, default=0.0, help="how long NATS stays away once killed"
    )
    options = parser.parse_args(arguments)
    sizes = sorted(options.sizes)
    by_size = asyncio.run(fanout.measure(sizes, options.rounds))
    figures: dict[str, float] = {"agents": sizes[-1], **by_size[sizes[-1]]}
    for size in sizes[:-1]:
        for key in (
            "fanout_p50_ms",
            "fanout_p99_ms",
            "raw_p50_ms",
            "raw_p99_ms",
            "fanout_over_raw",
        ):
            name, _, rest = key.partition("_")
            figures[f"{name}_{size}_{rest}"] = by_size[size][key]
    if options.storm_agents:
        figures |= storm.measure(options.storm_agents, options.storm_down_s)
    figures = {key: round(value, 3) for key, value in figures.items()}
    bars = [Bar("fanout_over_raw", "<=", 3)]  # aim: 1.5
    bars += [Bar(f"fanout_{size}_over_raw", "<=", 3) for size in sizes[:-1]]
    if options.storm_agents:
        bars.append(Bar("storm_live_s", "<=", 30))  # aim: 10
    return report(figures, bars, only_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
