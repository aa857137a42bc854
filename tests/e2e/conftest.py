"""A whole stack on real servers for each test, with a short lease."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.stack import LEASE_S, POLICY, Stack, running_stack

__all__ = ["LEASE_S", "POLICY", "Stack"]


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    async with running_stack(tmp_path) as running:
        yield running
