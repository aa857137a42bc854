"""Running the sidecar: one agent, one listening socket, uvicorn in between."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable
from pathlib import Path

import uvicorn

from tocsin_verifier_agent import agent_file
from tocsin_verifier_agent.agent import VerifierAgent
from tocsin_verifier_agent.sidecar.address import (
    SOCKET_NAME,
    Address,
    BoundSocket,
    UnixAddress,
    parse_listen,
)
from tocsin_verifier_agent.sidecar.app import SidecarApp
from tocsin_verifier_agent.sidecar.forwarded import ProxyKind

KEEP_ALIVE_S = 75
GRACE_S = 3


async def serve(
    agent: VerifierAgent,
    bound: BoundSocket,
    stopped: asyncio.Event,
    proxy: ProxyKind | None = None,
) -> None:
    """Answer for an agent that runs in this event loop, until ``stopped``."""
    config = uvicorn.Config(
        SidecarApp(agent, proxy=proxy),
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[bound.socket]), name="tocsin-sidecar")
    stopping = asyncio.create_task(stopped.wait())
    try:
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        server.should_exit = True
        stopping.cancel()
        await serving


def run(
    file: Path | None = None,
    *,
    socket: Path | None = None,
    socket_mode: int = 0o660,
    listen: str | None = None,
    anywhere: bool = False,
    proxy: ProxyKind | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Run a sidecar until SIGINT or SIGTERM; ``say`` is told where it listens.

    Args:
        file: a `.tocsin` file, by default the one that ``TOCSIN_FILE`` names.
        socket: a Unix socket; by default the file's line `sidecar`, or `run/tocsin.sock` beside it.
        socket_mode: 0o600 (this user) or 0o660 (the group too).
        listen: TCP in place of the Unix socket, as ``127.0.0.1:9191``.
        anywhere: allow an address that is not loopback.
        proxy: which proxy sets the header with the client's certificate; by default nobody does.
        say: where a line for people goes.

    Raises:
        ConfigurationError: the file, or where to listen, is wrong.
    """
    where = agent_file.path_from_environment() if file is None else file
    address: Address | None = None if listen is None else parse_listen(listen, anywhere=anywhere)
    parsed = agent_file.read(where)
    if address is None:
        chosen = where.parent / (parsed.sidecar or SOCKET_NAME)
        address = UnixAddress(chosen if socket is None else socket, socket_mode)
    agent = VerifierAgent.from_parsed(parsed, where.parent)
    bound = BoundSocket(address)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_run(agent, bound, say, proxy))
    finally:
        bound.close()


async def _run(
    agent: VerifierAgent,
    bound: BoundSocket,
    say: Callable[[str], None],
    proxy: ProxyKind | None,
) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with agent:
        gc.freeze()  # what stays would be walked again and again, for milliseconds each time
        say(f"ready: {bound.address} ({agent.status().state.value})")
        await serve(agent, bound, stopped, proxy)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The faster loop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
