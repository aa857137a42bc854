"""Microseconds of one call, so that what slows the machine for a while spoils no ratio."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import TypeVar

T = TypeVar("T")
ROUNDS = 9
SLICE = 50


def each(inputs: Sequence[T], *works: Callable[[T], object]) -> list[float]:
    """The median time of each work over slices of distinct inputs, all works slice by slice; after
    them the medians of each one's ratio to the first.
    """
    rows: list[list[float]] = []
    for start in range(0, len(inputs) - SLICE + 1, SLICE):
        part, row = inputs[start : start + SLICE], []
        for work in works:
            began = time.perf_counter()
            for one in part:
                work(one)
            row.append((time.perf_counter() - began) / SLICE * 1e6)
        rows.append(row)
    times = [median(row[index] for row in rows) for index in range(len(works))]
    return times + [median(row[index] / row[0] for row in rows) for index in range(1, len(works))]


def repeated(work: Callable[[], object], times: int) -> float:
    """The median over some rounds."""
    rounds: list[float] = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(times):
            work()
        rounds.append((time.perf_counter() - began) / times * 1e6)
    return median(rounds)


def in_two_threads(inputs: Sequence[T], work: Callable[[T], object]) -> float:
    """As one call while two threads make calls, half of the inputs each; both are counted."""

    def run(part: Sequence[T]) -> None:
        for one in part:
            work(one)

    half = len(inputs) // 2
    threads = [
        threading.Thread(target=run, args=(part,)) for part in (inputs[:half], inputs[half:])
    ]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (time.perf_counter() - began) / len(inputs) * 1e6
