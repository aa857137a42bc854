"""Real processes around a sidecar: the sidecar itself, a proxy, and a backend that echoes."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

START_S = 20.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; headers by lower-case name."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def echoed(self) -> list[tuple[str, str]]:
        """The headers that reached the backend, in order, as they were written."""
        return [(name, value) for name, value in json.loads(self.body)["headers"]]

    def claims(self) -> dict[str, str]:
        """What a CGI-like backend takes for the sidecar's headers: any punctuation is a dash."""
        found: dict[str, str] = {}
        for name, value in self.echoed:
            plain = "".join(c if c.isalnum() else "-" for c in name.lower())
            if plain.startswith("x-tocsin-"):
                assert plain not in found, f"{name} reached the backend twice"
                found[plain] = value
        return found


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("sidecar", timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(10)
        self.sock.connect(str(self._path))


def ask(
    where: Path | int,
    path: str,
    headers: Sequence[tuple[str, str]] = (),
    method: str = "GET",
    body: bytes = b"",
) -> Answer:
    """One request over a Unix socket or to a port, its headers written exactly as given."""
    connection = (
        _UnixConnection(where)
        if isinstance(where, Path)
        else http.client.HTTPConnection("127.0.0.1", where, timeout=10)
    )
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        if body:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        answer = connection.getresponse()
        names = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, names, answer.read())
    finally:
        connection.close()


def bearer(token: str) -> tuple[str, str]:
    return "Authorization", f"Bearer {token}"


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.dumps({"path": self.path, "headers": list(self.headers.items())}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: there are tokens in requests."""


@contextmanager
def backend() -> Iterator[int]:
    """A backend that answers with the headers that it got; its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Echo) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


class Child:
    """A process with its output in a file."""

    def __init__(self, command: Sequence[str], log: Path, environment: dict[str, str]) -> None:
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                list(command), stdout=output, stderr=output, env=environment
            )

    def text(self) -> str:
        return self.log.read_text()

    def wait_for(self, ready: str) -> None:
        deadline = time.monotonic() + START_S
        while ready not in self.text():
            assert self.process.poll() is None, self.text()
            assert time.monotonic() < deadline, self.text()
            time.sleep(0.02)

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


@asynccontextmanager
async def sidecar(folder: Path, name: str = "orders", *more: str) -> AsyncIterator[Child]:
    """A sidecar of the service's file, by default on `run/tocsin.sock` in the folder.

    Waiting is done on a thread: the issuer lives on the test's event loop.
    """
    command = [sys.executable, "-m", "tocsin_verifier_agent.sidecar"]
    command += ["--file", str(folder / f"{name}.tocsin"), *more]
    child = Child(command, folder / f"sidecar-{time.monotonic_ns()}.log", dict(os.environ))
    try:
        await asyncio.to_thread(child.wait_for, "ready: ")
        yield child
    finally:
        await asyncio.to_thread(child.end)


def wait_for_port(port: int, child: Child) -> None:
    """Until a proxy listens."""
    deadline = time.monotonic() + START_S
    while True:
        assert child.process.poll() is None, child.text()
        assert time.monotonic() < deadline, child.text()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)


def replaced(text: str, literals: Mapping[str, str]) -> str:
    """A committed configuration, with each of its literals replaced by one of this machine."""
    for literal, instead in literals.items():
        assert literal in text, f"the configuration has no {literal}"
        text = text.replace(literal, instead)
    return text
