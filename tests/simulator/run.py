"""Play one schedule from its seed, and judge it."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass

from tests.simulator.crypto import fast_signatures
from tests.simulator.ending import everything_again, heal
from tests.simulator.invariants import Violation
from tests.simulator.opening import populate, unleash
from tests.simulator.world import World

TAIL = 24  # lines of the trace that are shown with a violation


@dataclass(frozen=True, slots=True)
class Result:
    """What a schedule showed. ``worst_over_bound`` is in seconds, minus infinity if never near."""

    seed: int
    steps: int
    digest: str
    worst_over_bound: float
    records: int
    accepted: int
    denied: int


def run(seed: int, world: World | None = None) -> Result:
    """Play one schedule.

    Raises:
        Violation: with the seed, the step and the last steps in its message.
    """
    world = World(seed) if world is None else world
    try:
        populate(world)
        unleash(world)
        world.run_until(world.profile.duration)
        if world.profile.shuffle_at_end:
            everything_again(world)
        if world.profile.heal_at_end:
            heal(world)
    except Violation as violation:
        tail = "\n  ".join(world.trace[-TAIL:])
        message = f"seed {seed}, step {world.steps}: {violation}\n  {tail}"
        raise Violation(violation.invariant, message) from None
    check = world.check
    return Result(
        seed=seed,
        steps=world.steps,
        digest=world.digest(),
        worst_over_bound=check.worst_over_bound,
        records=len(check.texts),
        accepted=check.accepted_count,
        denied=check.denied_count,
    )


def main() -> int:
    """Play a range of seeds and say how fast."""
    parser = argparse.ArgumentParser(prog="tests.simulator.run", description=main.__doc__)
    parser.add_argument("--seeds", type=int, default=300)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--real-crypto", action="store_true")
    parser.add_argument("--keep-going", action="store_true")
    chosen = parser.parse_args()
    began, results, failed = time.perf_counter(), [], 0
    with nullcontext() if chosen.real_crypto else fast_signatures():
        for seed in range(chosen.first, chosen.first + chosen.seeds):
            try:
                results.append(run(seed))
            except Violation as violation:
                failed += 1
                sys.stdout.write(f"{violation}\n")
                if not chosen.keep_going:
                    return 1
    elapsed = time.perf_counter() - began
    sys.stdout.write(
        f"{chosen.seeds} seeds, {chosen.seeds / elapsed:.0f} a second, {failed} violations, "
        f"{sum(r.steps for r in results)} steps, {sum(r.records for r in results)} records, "
        f"{sum(r.accepted for r in results)} accepted, {sum(r.denied for r in results)} denied, "
        f"worst over bound {max(r.worst_over_bound for r in results):.9f} s\n"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
