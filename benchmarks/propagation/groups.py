"""The parent's side of the processes that hold agents and bare subscribers."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

Answer = dict[str, Any]
_LIMIT = 2**24
_STOP_S = 20.0


class GroupProcess:
    """One process of :mod:`benchmarks.propagation.group`."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def ask(self, command: str, **arguments: Any) -> Answer:
        """Send a command and wait for its answer.

        Raises:
            SystemExit: the process has ended.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise SystemExit("the group has no pipes")
        stdin.write(json.dumps([command, arguments]).encode() + b"\n")
        await stdin.drain()
        line = await stdout.readline()
        if not line:
            raise SystemExit(f"a group of agents has ended at: {command}")
        answer: Answer = json.loads(line)
        return answer

    def cpu_s(self) -> float:
        """Seconds of CPU that the process has used."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mb(self) -> float:
        """Resident memory of the process, in MB (10^6 bytes)."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    async def end(self) -> None:
        """Stop it, by force if need be."""
        try:
            async with asyncio.timeout(_STOP_S):
                if self._process.returncode is None:
                    await self.ask("stop")
                    await self._process.wait()
        except (TimeoutError, SystemExit, OSError):
            self._process.kill()
            await self._process.wait()


async def ask_all(groups: list[GroupProcess], command: str, **arguments: Any) -> list[Answer]:
    """The same command to all, at once."""
    return await asyncio.gather(*(group.ask(command, **arguments) for group in groups))


@asynccontextmanager
async def group_processes(count: int, file: Path) -> AsyncIterator[list[GroupProcess]]:
    """Processes for members that have the service file ``file``, bound to the cores in turn: left
    alone, the scheduler may have two on one core while another stands idle.
    """
    cores = sorted(os.sched_getaffinity(0))
    groups: list[GroupProcess] = []
    try:
        for number in range(count):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "benchmarks.propagation.group", str(file)),
                stdin=PIPE,
                stdout=PIPE,
                limit=_LIMIT,
            )
            groups.append(GroupProcess(process))
            os.sched_setaffinity(process.pid, {cores[number % len(cores)]})
        yield groups
    finally:
        await asyncio.gather(*(group.end() for group in groups))
