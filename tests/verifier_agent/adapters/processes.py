"""Servers as processes of their own."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.support.ports import find_free
from tests.support.stack import Stack

ROOT = Path(__file__).parents[3]


def python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-W", "error", "-m", module, *arguments]


@asynccontextmanager
async def process(
    command: Sequence[str], stack: Stack, **environment: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that finds the stack's file in its environment; ended with SIGTERM."""
    variables = {
        **os.environ,
        "TOCSIN_FILE": str(stack.folder / "orders.tocsin"),
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        **environment,
    }
    running = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env=variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield running
    finally:
        if running.returncode is None:
            running.terminate()
            async with asyncio.timeout(15):
                await running.communicate()


@asynccontextmanager
async def web_server(
    command: Callable[[int], Sequence[str]], stack: Stack, **environment: str
) -> AsyncIterator[str]:
    """A web server that answers on ``/healthz``."""
    port = find_free()
    url = f"http://127.0.0.1:{port}"
    async with process(command(port), stack, **environment) as running:
        async with httpx.AsyncClient() as client, asyncio.timeout(30):
            while True:
                assert running.returncode is None, await running.communicate()
                try:
                    assert (await client.get(f"{url}/healthz")).status_code == 200
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
        yield url
