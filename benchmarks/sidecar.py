"""Requests per second: the sidecar's `/auth` beside the issuer's introspection endpoint.

One load generator for both, in a process of its own: raw asyncio sockets (uvloop where it is
there), HTTP/1.1 with keep-alive, each of some connections sending its next request when it has its
answer. Both servers are one process each, on the same machine, and take turns for some rounds;
every figure is the median of them. The sidecar is asked over its Unix socket, which is its default,
and over TCP on loopback as well, which is all that the issuer has. All ask about the same tokens,
over and over, as callers of a service do.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, cast
from urllib.parse import urlencode, urlsplit

import httpx

from benchmarks.bars import report
from benchmarks.stack import Stack, running_stack
from tocsin_issuer.embedded.port import find_free
from tocsin_issuer.http.introspection_endpoint import PERMISSION
from tocsin_issuer.store.clients import ClientStore
from tocsin_issuer.store.connection import connect
from tocsin_verifier_agent import VerifierAgent
from tocsin_verifier_agent.sidecar.client import SidecarClient

AUDIENCE = "orders"
CLIENT = "benchmark"
TOKENS = 200
CONNECTIONS = 8
ROUNDS = 3
WARM_UP_S = 0.5
SECONDS = 1.5
CALLS = 2000
READY_S = 20.0


@dataclass(frozen=True, slots=True)
class Load:
    """What the load generator is told: a Unix socket, or a host and a port; whole requests."""

    unix: str
    host: str
    port: int
    requests: list[str]
    must_have: str
    """What every answer holds: a fast refusal is no throughput."""


class Connection(asyncio.Protocol):
    """Sends a request, waits for its answer, notes the time it took."""

    def __init__(self, load: Load, first: int, took: list[float]) -> None:
        self._requests = [request.encode() for request in load.requests]
        self._must_have = load.must_have.encode()
        self._next = first
        self._took = took
        self._buffer = b""
        self._sent = 0.0
        self.transport: asyncio.Transport
        self.failed: BaseException | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is of no such class
        self._send()

    def _send(self) -> None:
        self._next = (self._next + 1) % len(self._requests)
        self._sent = time.perf_counter()
        self.transport.write(self._requests[self._next])

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        if not head.startswith(b"HTTP/1.1 200") or self._must_have not in self._buffer:
            self.failed = ValueError(head.partition(b"\r\n")[0].decode())
            self.transport.close()
            return
        self._buffer = b""
        self._took.append(time.perf_counter() - self._sent)
        self._send()


async def generate(load: Load) -> dict[str, float]:
    """The load generator: requests per second, and percentiles of their times in ms."""
    loop = asyncio.get_running_loop()
    took: list[float] = []
    connections: list[Connection] = []
    for number in range(CONNECTIONS):

        def make(first: int = number * len(load.requests) // CONNECTIONS) -> Connection:
            return Connection(load, first, took)

        if load.unix:
            _, connection = await loop.create_unix_connection(make, load.unix)
        else:
            _, connection = await loop.create_connection(make, load.host, load.port)
        connections.append(connection)
    await asyncio.sleep(WARM_UP_S)
    took.clear()
    began = time.perf_counter()
    await asyncio.sleep(SECONDS)
    elapsed, times = time.perf_counter() - began, sorted(took)
    for connection in connections:
        connection.transport.abort()
        if connection.failed is not None:
            raise connection.failed
    return {
        "per_s": len(times) / elapsed,
        "p50_ms": times[len(times) // 2] * 1e3,
        "p99_ms": times[len(times) * 99 // 100] * 1e3,
    }


def generate_in_this_process() -> None:
    """The child's part: a load on standard input, its figures on standard output."""
    load = Load(**json.load(sys.stdin))
    try:
        import uvloop
    except ImportError:
        figures = asyncio.run(generate(load))
    else:
        figures = uvloop.run(generate(load))
    print(json.dumps(figures))


def measure(load: Load) -> dict[str, float]:
    """One round."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.sidecar", "--generate"],
        input=json.dumps(asdict(load)),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if done.returncode:
        raise SystemExit(f"the load generator failed: {done.stderr.splitlines()[-1:]}")
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


@contextmanager
def sidecar(stack: Stack, *where: str) -> Iterator[None]:
    """A sidecar of the service's file, as an operator starts it."""
    command = [str(Path(sys.executable).with_name("tocsin")), "sidecar"]
    command += ["--file", str(stack.service_file(AUDIENCE)), *where]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            if "(live)" not in process.stdout.readline():
                raise SystemExit("the sidecar is not live")
            yield
        finally:
            process.terminate()
            process.wait(READY_S)


async def introspection_client(redis_url: str) -> str:
    """The value of the header that authenticates a client that may introspect."""
    redis = connect(redis_url)
    try:
        secret = await ClientStore(redis).create(CLIENT, [AUDIENCE], [PERMISSION])
    finally:
        await redis.aclose()
    return "Basic " + base64.b64encode(f"{CLIENT}:{secret}".encode()).decode()


def auth_request(token: str) -> str:
    """As a proxy asks."""
    return f"GET /auth HTTP/1.1\r\nHost: sidecar\r\nAuthorization: Bearer {token}\r\n\r\n"


def introspection_request(token: str, credentials: str) -> str:
    """As a service asks that has no agent."""
    body = urlencode({"token": token, "token_type_hint": "access_token"})
    return (
        "POST /oauth/introspect HTTP/1.1\r\nHost: issuer\r\n"
        f"Authorization: {credentials}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )


def issued(stack: Stack, credentials: str) -> list[str]:
    """Tokens that the issuer knows of: of others introspection says that they are inactive."""
    form = {"grant_type": "client_credentials", "audience": AUDIENCE}
    with httpx.Client(headers={"Authorization": credentials}) as client:
        answers = [client.post(f"{stack.issuer}/oauth/token", data=form) for _ in range(TOKENS)]
    return [str(answer.raise_for_status().json()["access_token"]) for answer in answers]


def side_by_side(stack: Stack, credentials: str, tokens: Sequence[str]) -> dict[str, float]:
    """All HTTP figures."""
    access = tomllib.loads((stack.folder / ".tocsin" / "admin.toml").read_text())
    internal = urlsplit(access["internal_url"])
    auth = [auth_request(token) for token in tokens]
    introspection = [introspection_request(token, credentials) for token in tokens]
    path, port = stack.folder / "run" / "tocsin.sock", find_free()
    has_claims, active = f"x-tocsin-subject: {CLIENT}", '"active":true'
    loads = {
        "sidecar": Load(str(path), "", 0, auth, has_claims),
        "sidecar_tcp": Load("", "127.0.0.1", port, auth, has_claims),
        "introspect": Load("", str(internal.hostname), internal.port or 0, introspection, active),
    }
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in loads}
    with sidecar(stack, "--socket", str(path)), sidecar(stack, "--listen", f"127.0.0.1:{port}"):
        for _ in range(ROUNDS):
            for name, load in loads.items():
                rounds[name].append(measure(load))
        client_us = asked_by_a_service(path, tokens)
    figures = {
        f"{name}_{key}": median(figures[key] for figures in rounds[name])
        for name in loads
        for key in ("per_s", "p50_ms", "p99_ms")
    }
    for name in ("sidecar", "sidecar_tcp"):
        figures[f"{name}_over_introspect"] = median(
            ours["per_s"] / theirs["per_s"]
            for ours, theirs in zip(rounds[name], rounds["introspect"], strict=True)
        )
    return {**figures, "sidecar_client_us": client_us}


def asked_by_a_service(path: Path, tokens: Sequence[str]) -> float:
    """Microseconds of one call of the client for prefork servers, one after the other."""
    client = SidecarClient(path)
    try:
        return microseconds(client.authenticate_blocking, tokens)
    finally:
        client.stop()


def in_process(stack: Stack, tokens: Sequence[str]) -> float:
    """Microseconds of one verification by an agent in the process, tokens seen before."""
    agent = VerifierAgent.from_file(stack.service_file(AUDIENCE))
    if not agent.start():
        raise SystemExit("the agent is not live")
    try:
        return microseconds(agent.verify, tokens)
    finally:
        agent.stop()


def microseconds(verify: Callable[[str], object], tokens: Sequence[str]) -> float:
    """The median over some rounds of the time of one call."""
    for token in tokens:
        verify(token)
    times: list[float] = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for number in range(CALLS):
            verify(tokens[number % len(tokens)])
        times.append((time.perf_counter() - began) / CALLS * 1e6)
    return median(times)


def run() -> dict[str, Any]:
    """Start everything and measure."""
    with running_stack(AUDIENCE) as stack:
        credentials = asyncio.run(introspection_client(stack.redis_url))
        tokens = issued(stack, credentials)
        figures = side_by_side(stack, credentials, tokens)
        verify_us = in_process(stack, tokens)
    figures |= {"verify_us": verify_us, "verify_per_s": 1e6 / verify_us}
    return {key: round(value, 3) for key, value in figures.items()} | {"connections": CONNECTIONS}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--generate", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.generate:
        generate_in_this_process()
        return 0
    return report(run(), (), only_json=chosen.json)


if __name__ == "__main__":
    sys.exit(main())
