"""Servers that fork: each worker process has an agent of its own, or all ask one sidecar.

One line in the service's file chooses.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.support.stack import Stack
from tests.verifier_agent.adapters.conftest import Tokens
from tests.verifier_agent.adapters.processes import process, python, web_server
from tests.verifier_agent.sidecar import running

pytestmark = pytest.mark.asyncio(loop_scope="module")

WITHIN_S = 2.0
GUNICORN = ("gunicorn", "--workers", "2", "--worker-class", "sync", "--log-level", "error")
COMMANDS = {
    "flask, gunicorn, preloaded": (
        *GUNICORN, "--preload", "--bind", "127.0.0.1:PORT", "examples.flask_orders.service:app",
    ),
    "django, gunicorn": (
        *GUNICORN, "--bind", "127.0.0.1:PORT", "examples.django_orders.service:application",
    ),
    "asgi, uvicorn": (
        "uvicorn", "--workers", "2", "--log-level", "error", "--port", "PORT",
        "examples.asgi_orders.service:app",
    ),
    "fastapi, uvicorn": (
        "uvicorn", "--workers", "2", "--log-level", "error", "--port", "PORT",
        "examples.orders.service:app",
    ),
}  # fmt: skip


async def ask(url: str, token: str) -> tuple[int, int]:
    """The status, and the worker where it says so; over a new connection."""
    headers = {"Authorization": f"Bearer {token}", "Connection": "close"}
    async with httpx.AsyncClient(timeout=10) as client:
        answer = await client.get(f"{url}/orders", headers=headers)
    return answer.status_code, answer.json().get("worker", 0)


async def both_workers(url: str, token: str) -> set[int]:
    """Their process ids; the kernel chooses which of them answers."""
    found: set[int] = set()
    deadline = time.monotonic() + 20
    while len(found) < 2:
        assert time.monotonic() < deadline, found
        status, worker = await ask(url, token)
        assert status == 200
        found.add(worker)
    assert os.getpid() not in found
    return found


@contextmanager
def only(worker: int, workers: set[int]) -> Iterator[None]:
    """Hold the other worker up, so that this one answers."""
    (other,) = workers - {worker}
    os.kill(other, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(other, signal.SIGCONT)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sidecar(shared: Stack) -> AsyncIterator[Path]:
    """A file with one more line, and the sidecar that it names."""
    file = shared.folder / "orders-by-sidecar.tocsin"
    file.touch(mode=0o600)
    line = 'sidecar = "orders.sock"\n'
    file.write_text(line + (shared.folder / "orders.tocsin").read_text())
    command = python("tocsin_verifier_agent.sidecar", "--file", str(file))
    async with process(command, shared) as child, asyncio.timeout(20):
        while not (shared.folder / "orders.sock").exists():
            assert child.returncode is None, await child.communicate()
            await asyncio.sleep(0.05)
        yield file


async def refused_by(sidecar: Path) -> int:
    """How many tokens of ended sessions the sidecar has refused so far."""
    answer = await asyncio.to_thread(running.ask, sidecar.with_name("orders.sock"), "/readyz")
    count: int = json.loads(answer.body)["meters"]["rejected"].get("session_revoked", 0)
    return count


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("by_sidecar", [False, True])
async def test_every_worker_verifies_and_hears_of_a_logout(
    name: str, by_sidecar: bool, shared: Stack, sidecar: Path, tokens: Tokens
) -> None:
    environment = {"TOCSIN_FILE": str(sidecar)} if by_sidecar else {}
    leaving, staying = await tokens.fresh(), await tokens.fresh()
    refused_before = await refused_by(sidecar)
    arguments = COMMANDS[name]

    def command(port: int) -> list[str]:
        return python(*(part.replace("PORT", str(port)) for part in arguments))

    async with web_server(command, shared, **environment) as url:
        workers = await both_workers(url, staying)
        for worker in workers:
            with only(worker, workers):
                assert await ask(url, leaving) == (200, worker)
        await tokens.revoke(leaving)
        acknowledged = time.monotonic()
        for worker in workers:
            with only(worker, workers):
                while await ask(url, leaving) != (401, 0):
                    assert time.monotonic() - acknowledged < WITHIN_S
                    await asyncio.sleep(0.01)
                assert await ask(url, staying) == (200, worker)
    refused = await refused_by(sidecar) - refused_before
    assert refused >= len(workers) if by_sidecar else refused == 0, "who was asked?"
