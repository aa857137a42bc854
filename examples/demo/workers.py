"""One kept-alive connection to each worker process, so that every worker can be asked."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import httpx

from examples.demo.stack import WORKERS, DemoFailed, Stack

_ATTEMPTS = 200
_POLL_PAUSE_S = 0.0005


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker process of a service, and the one connection that leads to it."""

    service: str
    pid: int
    url: str
    connection: httpx.AsyncClient

    async def ask(self, token: str) -> int:
        """The status with which this worker answers the token."""
        answer = await self.connection.get(self.url, headers={"Authorization": f"Bearer {token}"})
        return answer.status_code

    async def first(self, status: int, token: str, timeout: float) -> float:
        """Ask until the answer is ``status``; the time of that answer (`perf_counter`)."""
        deadline = time.perf_counter() + timeout
        while True:
            answer = await self.ask(token)
            now = time.perf_counter()
            if answer == status:
                return now
            if now > deadline:
                raise DemoFailed(f"{self.service} worker {self.pid} answers {answer}")
            await asyncio.sleep(_POLL_PAUSE_S)


async def connect_to_workers(stack: Stack, token: str) -> list[Worker]:
    """Open connections until every worker of every service has one.

    The kernel chooses which worker accepts a connection; a worker says who it is in its answer.
    """
    workers: list[Worker] = []
    for service, base in stack.service_urls.items():
        found: dict[int, Worker] = {}
        for _ in range(_ATTEMPTS):
            if len(found) == WORKERS:
                break
            connection = httpx.AsyncClient(
                timeout=10, limits=httpx.Limits(max_connections=1, keepalive_expiry=None)
            )
            url = f"{base}/{service}"
            answer = await connection.get(url, headers={"Authorization": f"Bearer {token}"})
            if answer.status_code != 200:
                await connection.aclose()
                await asyncio.sleep(0.02)
                continue
            pid = int(answer.json()["worker"])
            if pid in found:
                await connection.aclose()
            else:
                found[pid] = Worker(service, pid, url, connection)
        if len(found) != WORKERS:
            raise DemoFailed(f"only {len(found)} workers of {service} answer")
        workers.extend(found.values())
    return workers
