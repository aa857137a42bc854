"""One stack, one sidecar and one backend for each module."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.stack import Stack, running_stack
from tests.verifier_agent.sidecar import running
from tests.verifier_agent.sidecar.running import Child
from tocsin_schemas.keyset import Policy

# Longer than what a busy machine keeps an event loop from, short enough to wait for its end.
POLICY = Policy(lease_ms=3000, heartbeat_ms=200)


@dataclass(frozen=True)
class Host:
    """A host with a sidecar on it: its stack, its process, its socket."""

    stack: Stack
    child: Child
    socket: Path

    async def token(self) -> str:
        return (await self.stack.log_in())["access_token"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("s")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(folder: Path) -> AsyncIterator[Host]:
    async with running_stack(folder, POLICY) as stack, running.sidecar(folder) as child:
        yield Host(stack, child, folder / "run" / "tocsin.sock")


@pytest.fixture(scope="module")
def backend() -> Iterator[int]:
    with running.backend() as port:
        yield port
