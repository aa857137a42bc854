"""Microseconds of one call, so that what slows the machine for a while spoils no ratio."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Generic, TypeVar

T = TypeVar("T")
SLICE = 50


def fresh(texts: Iterable[str]) -> list[str]:
    """The same texts as objects that nobody has hashed yet, as every request brings one."""
    return [text.encode().decode() for text in texts]


@dataclass(frozen=True, slots=True)
class Work(Generic[T]):
    """What is timed: ``call``, on each of what ``prepare`` makes, untimed, of a slice of tokens.

    With ``rounds`` it is done so many times over, where one slice would be too short to time; what
    is prepared is new in each, as a request's text is when it is verified.
    """

    call: Callable[[T], object]
    prepare: Callable[[Sequence[str]], Sequence[T]]
    rounds: int = 1

    def seconds(self, tokens: Sequence[str]) -> float:
        """Of one call."""
        call, taken = self.call, 0.0
        for _ in range(self.rounds):
            inputs = self.prepare(tokens)
            began = time.perf_counter()
            for one in inputs:
                call(one)
            taken += time.perf_counter() - began
        return taken / (self.rounds * len(tokens))


def in_turn(
    tokens: Sequence[str], works: Mapping[str, Work[T]], ratios: Mapping[str, tuple[str, str]]
) -> dict[str, float]:
    """The median of each work's microseconds, and of each ratio (one work's time over another's),
    over slices of tokens: all works do one slice before any does the next.
    """
    rows: list[dict[str, float]] = []
    for start in range(0, len(tokens) - SLICE + 1, SLICE):
        part = tokens[start : start + SLICE]
        rows.append({name: work.seconds(part) * 1e6 for name, work in works.items()})
    times = {f"{name}_us": median(row[name] for row in rows) for name in works}
    return times | {
        name: median(row[one] / row[other] for row in rows) for name, (one, other) in ratios.items()
    }


def in_two_threads(tokens: Sequence[str], work: Work[T]) -> float:
    """Microseconds for each call, while two threads make them: both threads' calls are counted."""
    half = len(tokens) // 2
    parts = [
        [one for _ in range(work.rounds) for one in work.prepare(part)]
        for part in (tokens[:half], tokens[half:])
    ]
    gate, call = threading.Barrier(3), work.call

    def run(inputs: Sequence[T]) -> None:
        gate.wait()
        for one in inputs:
            call(one)

    threads = [threading.Thread(target=run, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    gate.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    return (time.perf_counter() - began) / sum(map(len, parts)) * 1e6
