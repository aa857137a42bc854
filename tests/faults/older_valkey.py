"""Valkey as it was some time ago."""

from __future__ import annotations

import asyncio
import shutil
import time

from tests.faults.issuer_process import IssuerProcess
from tests.faults.stack import PATIENCE_S, Stack


class OlderValkey:
    """A copy of what the server had at the time, made while it was down for a moment; or ``live``,
    where nobody writes.
    """

    def __init__(self, stack: Stack, *, live: bool = False) -> None:
        self._server = stack.valkey
        self._files = stack.valkey.data_dir.path / "appendonlydir"
        self._copy = stack.folder / "older-valkey"
        if not live:
            self._server.kill()
        shutil.copytree(self._files, self._copy)
        if not live:
            self._server.start()

    def restore(self) -> None:
        """Put it back, and start the server on it."""
        self._server.kill()
        shutil.rmtree(self._files)
        shutil.copytree(self._copy, self._files)
        self._server.start()


async def answer_of(stack: Stack, issuer: IssuerProcess, refresh_token: str) -> tuple[int, str]:
    """What a refresh comes to, once the store may be asked."""
    deadline = time.monotonic() + PATIENCE_S
    answer = await stack.refresh(issuer, refresh_token)
    while answer.status == 503 and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
        answer = await stack.refresh(issuer, refresh_token)
    return answer.status, answer.members.get("error", "")
