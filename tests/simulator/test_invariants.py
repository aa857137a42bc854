"""The promise holds in every schedule, and a schedule is its seed."""

import pytest

from tests.simulator import directed, staged
from tests.simulator.crypto import fast_signatures
from tests.simulator.mutants import MUTANTS, Mutant, kill
from tests.simulator.run import run
from tests.simulator.world import World

SEEDS = 400


def test_no_schedule_breaks_an_invariant() -> None:
    with fast_signatures():
        results = [run(seed) for seed in range(SEEDS)]
    assert max(result.worst_over_bound for result in results) <= 0
    # The schedules did exercise it: tokens were accepted and denied, and records committed.
    assert sum(result.accepted for result in results) > SEEDS
    assert sum(result.denied for result in results) > SEEDS
    assert sum(result.records for result in results) > 5 * SEEDS


def test_real_signatures_change_nothing() -> None:
    for seed in range(3):
        with fast_signatures():
            fast = run(seed)
        real = run(seed)
        assert (real.steps, real.records) == (fast.steps, fast.records)


@pytest.mark.parametrize("seed", [3, 17, 101])
def test_a_seed_replays_exactly(seed: int) -> None:
    with fast_signatures():
        worlds = [World(seed) for _ in range(2)]
        first, second = (run(seed, world) for world in worlds)
        other = run(seed + 1)
    assert first == second
    assert worlds[0].trace == worlds[1].trace
    assert other.digest != first.digest


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_killed(mutant: Mutant) -> None:
    with fast_signatures():
        verdict = kill(mutant)
    assert verdict.invariant is not None


@pytest.mark.parametrize(
    "schedule",
    [
        directed.heartbeats_move_on_alone,
        directed.the_wall_clock_goes_back,
        directed.a_rule_goes_while_a_token_is_verified,
        staged.leader_wakes_up,
        staged.restored_behind_the_journal,
    ],
)
def test_the_directed_schedules_pass_unmutated(schedule: object) -> None:
    assert callable(schedule)
    with fast_signatures():
        schedule()
