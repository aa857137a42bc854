"""Seeded mutants: each breaks one thing that the promise rests on, and an invariant must notice.

``python -m tests.simulator.mutants``; the last line is one JSON object. A mutant counts as killed
only by a ``Violation``; any other exception is a fault of the mutant's own and ends the run.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from tests.simulator import core_mutants, directed, shell_mutants, staged
from tests.simulator.crypto import fast_signatures
from tests.simulator.invariants import Violation
from tests.simulator.run import run

SEEDS = 600
CLEAN_SEEDS = 300


@dataclass(frozen=True, slots=True)
class Mutant:
    """``breaks`` says what is gone; ``directed`` plays a schedule made for it, instead of seeds."""

    name: str
    breaks: str
    patch: Callable[[], AbstractContextManager[None]]
    directed: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """After how many seeds an invariant noticed, and which; None if none ever did."""

    seeds: int
    invariant: str | None
    message: str


MUTANTS = (
    Mutant(
        "lease-from-receipt",
        "the lease starts when the heartbeat arrives, however long it was on its way",
        core_mutants.lease_from_receipt,
    ),
    Mutant(
        "no-final-clock-read",
        "verify looks at the clock at the start only, and may be put aside after that",
        core_mutants.no_final_clock_read,
    ),
    Mutant(
        "quick-clock-trusted",
        "the quick clock is taken to run as fast as the lease clock, though NTP may slow it down",
        core_mutants.quick_clock_trusted,
    ),
    Mutant(
        "late-lease-end",
        "the lease's end is read after the rules instead of before them",
        core_mutants.late_lease_end,
    ),
    Mutant(
        "no-head-check",
        "any heartbeat renews, wherever the agent's head is",
        core_mutants.no_head_check,
    ),
    Mutant(
        "reply-renews",
        "a clock reply alone renews, though it has passed no fence",
        core_mutants.reply_renews,
    ),
    Mutant(
        "unsafe-sign",
        "a heartbeat older than the sync is pushed back by 2 rho too little instead of 3 too much",
        core_mutants.unsafe_sign,
    ),
    Mutant(
        "heartbeat-unsigned",
        "heartbeats are read without a look at their signature",
        core_mutants.heartbeat_unsigned,
    ),
    Mutant(
        "token-key-signs-heartbeats",
        "whoever holds a token key can renew leases",
        core_mutants.token_key_signs_heartbeats,
    ),
    Mutant(
        "gc-by-heartbeat",
        "rules go when a heartbeat's time has passed their until",
        core_mutants.gc_by_heartbeat,
        directed.heartbeats_move_on_alone,
    ),
    Mutant(
        "gc-by-wall-clock",
        "rules go when the agent's own wall clock has passed their until",
        core_mutants.gc_by_wall_clock,
    ),
    Mutant(
        "rules-mask",
        "a later, smaller cutoff takes the place of a larger one",
        core_mutants.rules_mask,
    ),
    Mutant(
        "origin-ignored",
        "a derived token outlives the revocation of its origin",
        core_mutants.origin_ignored,
    ),
    Mutant(
        "key-comes-back",
        "a later keyset brings a revoked key back",
        core_mutants.key_comes_back,
    ),
    Mutant(
        "stale-cache",
        "a fold does not move the generation, so cached tokens are not looked at again",
        core_mutants.stale_cache,
    ),
    Mutant(
        "exp-by-wall-clock",
        "exp is checked against the local wall clock alone, not against G",
        core_mutants.exp_by_wall_clock,
        directed.the_wall_clock_goes_back,
    ),
    Mutant(
        "exp-before-rules-only",
        "exp is not checked again after the rules, though a rule may have gone meanwhile",
        core_mutants.exp_before_rules_only,
        directed.a_rule_goes_while_a_token_is_verified,
    ),
    Mutant(
        "duplicate-is-success",
        "a PubAck that says duplicate counts as committed",
        core_mutants.duplicate_is_success,
    ),
    Mutant(
        "timeout-is-failure",
        "after a doubt a new record is built for the same place",
        core_mutants.timeout_is_failure,
    ),
    Mutant(
        "no-fence",
        "the stream takes a message whatever sequence it expects",
        shell_mutants.no_fence,
        staged.leader_wakes_up,
    ),
    Mutant(
        "slewed-clock",
        "an agent's lease clock is slewed by a tenth, far outside rho",
        shell_mutants.slewed_clock,
    ),
    Mutant(
        "lease-over-restart",
        "a new process goes on with the old lease and without the old state",
        shell_mutants.lease_over_restart,
    ),
    Mutant(
        "beats-before-journal",
        "after a takeover heartbeats go out before the stream has reached the journal",
        shell_mutants.beats_before_journal,
        staged.restored_behind_the_journal,
    ),
    Mutant(
        "journal-from-own-head",
        "a takeover appends the journal from the replica's head on, not from the stream's",
        shell_mutants.journal_from_own_head,
    ),
)


def kill(mutant: Mutant, seeds: Iterable[int] = range(SEEDS)) -> Verdict:
    """Play schedules against a mutant until an invariant is violated."""
    played = 0
    with mutant.patch():
        for seed in seeds:
            played += 1
            try:
                if mutant.directed is not None:
                    mutant.directed()
                else:
                    run(seed)
            except Violation as violation:
                return Verdict(played, violation.invariant, str(violation))
            if mutant.directed is not None:
                break
    return Verdict(played, None, "survived")


def main() -> int:
    """Kill every mutant; play the unmutated code; report."""
    parser = argparse.ArgumentParser(prog="tests.simulator.mutants", description=main.__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--clean", type=int, default=CLEAN_SEEDS)
    parser.add_argument("--only", default="")
    parser.add_argument("--verbose", action="store_true")
    chosen = parser.parse_args()
    say, killed, played, worst, sound = sys.stdout.write, 0, 0, float("-inf"), True
    mutants = [mutant for mutant in MUTANTS if chosen.only in mutant.name]
    with fast_signatures():
        for mutant in mutants:
            verdict = kill(mutant, range(chosen.seeds))
            played += verdict.seeds
            killed += verdict.invariant is not None
            by = verdict.invariant or "SURVIVED"
            say(f"{mutant.name:28} {verdict.seeds:4}  {by:14} {mutant.breaks}\n")
            if chosen.verbose:
                say(f"{verdict.message}\n")
        for seed in range(chosen.clean):
            played += 1
            try:
                worst = max(worst, run(seed).worst_over_bound)
            except Violation as violation:
                sound = False
                say(f"the unmutated code: {violation}\n")
    result = {
        "mutants": len(mutants),
        "killed": killed,
        "seeds": played,
        "worst_over_bound": round(worst, 9) if worst > float("-inf") else None,
    }
    say(json.dumps(result) + "\n")
    return 0 if sound and killed == len(mutants) else 1


if __name__ == "__main__":
    sys.exit(main())
