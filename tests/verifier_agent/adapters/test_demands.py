"""A connection that outlives its request obeys the strictest of all demands, in any order."""

from __future__ import annotations

from itertools import permutations
from typing import Any, cast

import pytest

from tocsin_schemas.errors import TokenRejected
from tocsin_verifier_agent.adapters.presented import Presented
from tocsin_verifier_agent.core.leniency import OnStale

Demand = tuple[float | None, OnStale | None]


class Asked:
    """Notes what the watch over a connection demands of its agent."""

    def __init__(self) -> None:
        self.demands: list[Demand] = []

    async def until_refused(
        self, _: str, max_staleness: float | None, on_stale: OnStale | None, __: object
    ) -> TokenRejected:
        self.demands.append((max_staleness, on_stale))
        return TokenRejected("exp")


async def watched(demands: tuple[Demand, ...], on_path: OnStale | None) -> Demand:
    asked = Asked()
    presented = Presented(cast(Any, asked), "token", cast(Any, None), on_path)
    for demand in demands:
        presented.demand(*demand)
    await presented.until_refused()
    return asked.demands[0]


@pytest.mark.parametrize("on_path", [None, "accept", "introspect"])
@pytest.mark.parametrize(
    ("demands", "strictest"),
    [
        (((15, None), (None, "accept")), (15, "reject")),
        (((15, None), (60, "accept")), (15, "reject")),
        (((15, "introspect"), (60, "accept")), (15, "introspect")),
        (((None, "accept"), (None, "introspect"), (None, "reject")), (None, "reject")),
        (((60, "accept"),), (60, "accept")),
    ],
)
async def test_in_any_order(
    demands: tuple[Demand, ...], strictest: Demand, on_path: OnStale | None
) -> None:
    for order in permutations(demands):
        assert await watched(order, on_path) == strictest


@pytest.mark.parametrize("on_path", [None, "accept"])
async def test_without_a_demand_the_path_decides(on_path: OnStale | None) -> None:
    assert await watched((), on_path) == (None, on_path)
    assert await watched(((None, None),), on_path) == (None, on_path)
