"""A stack for each row, with a short lease."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.stack import Stack, running_stack


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    async with running_stack(tmp_path) as running:
        yield running
