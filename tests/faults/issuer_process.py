"""One issuer as a child process, behind proxies of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.faults.proxy import Proxy
from tests.support.ports import find_free

COMMAND = [str(Path(sys.executable).with_name("tocsin"))]
FORGETFUL = [sys.executable, "-m", "tests.faults.forgetful_issuer"]
SHIFTED = [sys.executable, "-m", "tests.faults.shifted_issuer"]
ROOT = Path(__file__).parents[2]
READY_S = 30.0


@dataclass
class IssuerProcess:
    """``nats`` and ``redis`` stand between it and its servers, ``answers`` before its public
    listener. ``environment`` names all that it needs but the addresses; by ``clock_shift_s`` its
    wall clock is wrong. One that is ``forgetful`` remembers no more than a few records.
    """

    folder: Path
    environment: dict[str, str] = field(repr=False)
    nats: Proxy
    redis: Proxy
    redis_url: str = field(repr=False)  # with PORT in place of the port
    clock_shift_s: float = 0.0
    forgetful: bool = False
    port: int = field(default_factory=find_free)
    internal_port: int = field(default_factory=find_free)
    answers: Proxy = field(init=False)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.answers = Proxy(self.port)

    @property
    def url(self) -> str:
        """Where its clients go."""
        return f"http://127.0.0.1:{self.answers.port}"

    @property
    def log(self) -> str:
        """What it has printed so far."""
        return self.folder.with_suffix(".log").read_text()

    async def open(self) -> None:
        """Start the proxies."""
        for proxy in (self.nats, self.redis, self.answers):
            await proxy.start()

    async def start(self) -> None:
        """Start the process, and wait until it serves."""
        with self.folder.with_suffix(".log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: ASYNC220 - from the main thread, at once
                [*self._command(), "issuer", "run"],
                cwd=ROOT,
                env={
                    **os.environ,
                    **self.environment,
                    "TOCSIN_DATA_DIR": str(self.folder),
                    "TOCSIN_PUBLIC_PORT": str(self.port),
                    "TOCSIN_INTERNAL_PORT": str(self.internal_port),
                    "TEST_CLOCK_SHIFT_S": str(self.clock_shift_s),
                    "TOCSIN_NATS_URL": f"nats://127.0.0.1:{self.nats.port}",
                    "TOCSIN_REDIS_URL": self.redis_url.replace("PORT", str(self.redis.port)),
                },
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + READY_S
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}") as http:
            while True:
                try:
                    if (await http.get("/readyz")).status_code == 200:
                        return
                except httpx.TransportError:
                    await asyncio.sleep(0.03)
                assert self.process.poll() is None, self.log
                assert time.monotonic() < deadline, self.log

    def _command(self) -> list[str]:
        if self.forgetful:
            return FORGETFUL
        return SHIFTED if self.clock_shift_s else COMMAND

    def signal(self, number: signal.Signals) -> None:
        """SIGSTOP, SIGCONT …"""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """As a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    async def close(self) -> None:
        """End it, and its proxies."""
        self.kill()
        for proxy in (self.nats, self.redis, self.answers):
            await proxy.stop()
