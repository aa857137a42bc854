"""The processes of the demo: NATS, Valkey, the issuer, and two services with two workers each."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tocsin_issuer.embedded import EmbeddedNats, EmbeddedValkey
from tocsin_issuer.embedded.port import find_free

SERVICES = ("orders", "inventory")
WORKERS = 2
LEASE_MS = 5_000
HEARTBEAT_MS = 500
READY_S = 30.0


class DemoFailed(Exception):
    """A step did not do what it promises."""


@dataclass(frozen=True, slots=True)
class Stack:
    """What runs, and how to reach it."""

    folder: Path
    nats: EmbeddedNats
    public_url: str
    internal_url: str
    service_urls: dict[str, str]
    username: str
    password: str

    def tocsin(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command line as an operator would."""
        return subprocess.run(
            [str(Path(sys.executable).with_name("tocsin")), *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@contextmanager
def running_stack() -> Iterator[Stack]:
    """Start everything in a new folder; end and delete everything afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="tocsin-demo-"))
    children: list[subprocess.Popen[bytes]] = []
    try:
        with EmbeddedNats(folder / "nats") as nats, EmbeddedValkey(folder / "valkey") as valkey:
            stack = _start(folder, nats, valkey, children)
            try:
                yield stack
            finally:
                _end(children)
    finally:
        _end(children)
        shutil.rmtree(folder, ignore_errors=True)


def _start(
    folder: Path,
    nats: EmbeddedNats,
    valkey: EmbeddedValkey,
    children: list[subprocess.Popen[bytes]],
) -> Stack:
    public_port, internal_port = find_free(), find_free()
    environment = {
        **os.environ,
        "TOCSIN_NATS_URL": nats.url,
        "TOCSIN_NATS_CREDENTIALS_FILE": str(nats.core_credentials),
        "TOCSIN_NATS_EDGE_CREDENTIALS_FILE": str(nats.edge_credentials),
        "TOCSIN_REDIS_URL": valkey.url,
    }
    command = [str(Path(sys.executable).with_name("tocsin")), "up", "--dir", ".tocsin"]
    command += ["--public-port", str(public_port), "--internal-port", str(internal_port)]
    command += ["--lease-ms", str(LEASE_MS), "--heartbeat-ms", str(HEARTBEAT_MS)]
    for service in SERVICES:
        command += ["--service", service]
    children.append(_spawn(command, folder, folder / "issuer.log", environment))
    public_url = f"http://127.0.0.1:{public_port}"
    _wait_for(f"{public_url}/readyz", children[-1], folder / "issuer.log")
    service_urls: dict[str, str] = {}
    repository = Path(__file__).resolve().parents[2]
    for service in SERVICES:
        port = find_free()
        command = [sys.executable, "-m", "uvicorn", f"examples.{service}.service:app"]
        command += ["--port", str(port), "--workers", str(WORKERS), "--log-level", "warning"]
        # On asyncio's own loop, uvicorn's workers leave Nagle's algorithm on: 40 ms an answer.
        command += ["--loop", "uvloop"]
        environment = {**os.environ, "TOCSIN_FILE": str(folder / f"{service}.tocsin")}
        children.append(_spawn(command, repository, folder / f"{service}.log", environment))
        service_urls[service] = f"http://127.0.0.1:{port}"
        _wait_for(f"{service_urls[service]}/healthz", children[-1], folder / f"{service}.log")
    user = tomllib.loads((folder / ".tocsin" / "first-user.toml").read_text())
    return Stack(
        folder=folder,
        nats=nats,
        public_url=public_url,
        internal_url=f"http://127.0.0.1:{internal_port}",
        service_urls=service_urls,
        username=user["username"],
        password=user["password"],
    )


def _spawn(
    command: list[str], folder: Path, log: Path, environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    import httpx  # here: starting the servers needs no HTTP client

    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise DemoFailed(f"a process ended: {_last_line(log)}")
        try:
            if httpx.get(url, timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise DemoFailed(f"{url} is not ready: {_last_line(log)}")


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    return lines[-1] if lines else json.dumps("no output")


def _end(children: list[subprocess.Popen[bytes]]) -> None:
    for child in children:
        if child.poll() is None:
            child.terminate()
    for child in children:
        try:
            child.wait(15)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    children.clear()
