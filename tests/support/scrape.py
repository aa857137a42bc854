"""The issuer's metrics as Prometheus sees them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.support.stack import Stack

PREFIX = "tocsin_issuer_"
PATIENCE_S = 30.0


class Seen:
    """One scrape; a figure is asked for without its prefix."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.figures = {
            (sample.name.removeprefix(PREFIX), frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        """0 where a counter has not begun, or there is no such figure."""
        return self.figures.get((name, frozenset(labels.items())), 0.0)

    def has(self, name: str) -> bool:
        return any(name == found for found, _ in self.figures)

    def label_values(self) -> set[str]:
        return {value for _, labels in self.figures for _, value in labels}


async def scrape(stack: Stack) -> Seen:
    return await scrape_at(stack.http, stack.development.internal_url)


async def scrape_at(http: httpx.AsyncClient, internal_url: str) -> Seen:
    answer = await http.get(f"{internal_url}/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Seen(answer.text)


async def seen_when(stack: Stack, wanted: Callable[[Seen], bool]) -> Seen:
    """The first scrape of which that is true."""
    return await seen_at(stack.http, stack.development.internal_url, wanted)


async def seen_at(
    http: httpx.AsyncClient, internal_url: str, wanted: Callable[[Seen], bool]
) -> Seen:
    deadline = time.monotonic() + PATIENCE_S
    while not wanted(seen := await scrape_at(http, internal_url)):
        assert time.monotonic() < deadline, seen.text
        await asyncio.sleep(0.02)
    return seen
