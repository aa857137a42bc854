"""When keys are fetched next: never too soon, never too late."""

from hypothesis import given
from hypothesis import strategies as st

from tocsin_issuer.foreign.schedule import Progress, Schedule

EVERY_TEN_MINUTES = Schedule(600.0, 30.0)
jitters = st.floats(0.0, 1.0)
FIRST = Progress("https://a.example", "https://a.example/keys", next_at=100.0)


@given(jitters)
def test_after_a_success_about_every_ten_minutes(jitter: float) -> None:
    progress = FIRST.succeeded(100.0, EVERY_TEN_MINUTES, jitter, 5e9, ())
    assert 640.0 <= progress.next_at <= 760.0
    assert (progress.fetched_at, progress.failure) == (5e9, None)


@given(st.integers(1, 100), jitters)
def test_failures_are_retried_ever_more_slowly(failures: int, jitter: float) -> None:
    progress = FIRST
    pauses: list[float] = []
    for _ in range(failures):
        progress = progress.failed(0.0, EVERY_TEN_MINUTES, jitter, "timeout")
        pauses.append(progress.next_at)
    assert pauses[0] >= 30.0
    assert pauses == sorted(pauses)
    assert pauses[-1] <= 600.0
    assert (progress.failures, progress.failure) == (failures, "timeout")
    again = progress.succeeded(0.0, EVERY_TEN_MINUTES, jitter, 1.0, ())
    assert again.failed(0.0, EVERY_TEN_MINUTES, jitter, "timeout").next_at == pauses[0]


@given(st.floats(0.0, 100.0), st.floats(0.0, 2000.0), jitters)
def test_nobody_can_ask_for_more_than_one_in_thirty_seconds(
    tried_at: float, after: float, jitter: float
) -> None:
    progress = FIRST.succeeded(tried_at, EVERY_TEN_MINUTES, jitter, 0.0, ())
    now = tried_at + after
    wanted = progress.wanted_soon(now, EVERY_TEN_MINUTES)
    assert wanted.next_at >= tried_at + 30.0
    assert wanted.next_at <= max(now, tried_at + 30.0)


def test_what_was_never_tried_is_fetched_at_once() -> None:
    assert FIRST.wanted_soon(40.0, EVERY_TEN_MINUTES).next_at == 40.0
