"""A server's life: tied to its parent, paused and resumed, back on the port where it was."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tocsin_issuer.embedded import EmbeddedNats, EmbeddedValkey, ServerProcess
from tocsin_schemas.errors import ConfigurationError

SERVERS: list[type[EmbeddedNats] | type[EmbeddedValkey]] = [EmbeddedNats, EmbeddedValkey]

PARENT = """
import sys, time
from pathlib import Path
from tocsin_issuer.embedded import EmbeddedNats, EmbeddedValkey
servers = [EmbeddedNats(Path(sys.argv[1])), EmbeddedValkey(Path(sys.argv[2]))]
for server in servers:
    server.start()
servers[1].pause()
print(*[server.pid for server in servers], *[server.port for server in servers], flush=True)
time.sleep(60)
"""


@pytest.fixture(params=SERVERS, ids=lambda kind: kind.__name__)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServerProcess]:
    started: ServerProcess = request.param(tmp_path / "data")
    with started:
        yield started


@contextlib.contextmanager
def listening_on(port: int) -> Iterator[None]:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        yield


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.3) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(1) != b""
    except OSError:
        return False


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_killing_the_parent_ends_its_servers_even_a_paused_one(tmp_path: Path) -> None:
    folders = [tmp_path / "nats", tmp_path / "valkey"]
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, *map(str, folders)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        nats_pid, valkey_pid, *ports = map(int, parent.stdout.readline().split())
        assert alive(nats_pid)
        assert alive(valkey_pid)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 5
    while alive(nats_pid) or alive(valkey_pid):
        assert time.monotonic() < deadline, "a server outlived its parent"
        time.sleep(0.01)
    # Nothing is left that holds a folder or a port.
    for kind, folder, port in zip(SERVERS, folders, ports, strict=True):
        with kind(folder) as successor:
            assert successor.port == port


def test_a_restart_keeps_the_port_and_makes_a_new_process(server: ServerProcess) -> None:
    port, pid = server.port, server.pid
    server.restart()
    assert (server.port, answers(port)) == (port, True)
    assert server.pid != pid


def test_a_killed_server_comes_back_on_its_port(server: ServerProcess) -> None:
    port = server.port
    server.kill()
    assert not server.running
    assert not answers(port)
    server.start()
    assert (server.port, answers(port)) == (port, True)


def test_a_server_that_died_by_itself_is_seen_and_started_again(server: ServerProcess) -> None:
    port = server.port
    os.kill(server.pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while server.running:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    server.start()
    assert (server.port, answers(port)) == (port, True)


def test_a_paused_server_is_silent_until_it_is_resumed(server: ServerProcess) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        if isinstance(server, EmbeddedNats):
            assert connection.recv(65536).startswith(b"INFO")
        server.pause()
        assert server.running
        connection.sendall(b"PING\r\n")
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        server.resume()
        connection.settimeout(5)
        assert connection.recv(1) != b""


def test_a_paused_server_can_be_stopped_in_order(server: ServerProcess) -> None:
    server.pause()
    server.stop(timeout=5)
    log = server.log_file.read_text()
    assert "Server Exiting" in log or "ready to exit" in log


def test_start_and_stop_may_be_said_twice(server: ServerProcess) -> None:
    pid = server.pid
    server.start()
    assert server.pid == pid
    server.stop()
    server.stop()
    assert not server.running


def test_the_next_process_finds_the_port_of_the_last(server: ServerProcess) -> None:
    port = server.port
    server.stop()
    with type(server)(server.data_dir.path) as successor:
        assert successor.port == port


def test_a_new_process_takes_another_port_if_the_last_is_taken(server: ServerProcess) -> None:
    port = server.port
    server.stop()
    with listening_on(port), type(server)(server.data_dir.path) as successor:
        assert successor.port != port
        assert answers(successor.port)


def test_a_restart_does_not_leave_its_clients_for_another_port(server: ServerProcess) -> None:
    port = server.port
    server.stop()
    with listening_on(port), pytest.raises(ConfigurationError) as caught:
        server.start()
    assert caught.value.code == "port_in_use"
    assert str(port) in str(caught.value)
    server.start()
    assert server.port == port


def test_ports_lie_below_those_the_kernel_gives_to_clients(server: ServerProcess) -> None:
    ephemeral = Path("/proc/sys/net/ipv4/ip_local_port_range")
    lowest = int(ephemeral.read_text().split()[0]) if ephemeral.exists() else 49152
    assert 1024 <= server.port < lowest


def test_only_loopback_is_served(server: ServerProcess) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
        client.settimeout(1)
        with pytest.raises(OSError):
            client.connect(("127.0.0.2", server.port))  # loopback too, but not bound


def test_ctrl_c_does_not_reach_the_server(server: ServerProcess) -> None:
    assert os.getsid(server.pid) != os.getsid(0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a child to a thread")
def test_a_start_from_another_thread_is_refused(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path / "data")
    caught: list[RuntimeError] = []

    def start() -> None:
        try:
            server.start()
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "main thread" in str(caught[0])
    assert not server.running


def test_a_server_that_cannot_start_says_where_to_look(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "jetstream").write_text("a file where the store should be")
    server = EmbeddedNats(tmp_path / "data")
    with pytest.raises(ConfigurationError) as caught:
        server.start()
    assert caught.value.code == "server_failed"
    assert str(server.log_file) in str(caught.value)
    assert not server.running
    assert not server.data_dir.held


def test_what_is_known_only_after_a_start(tmp_path: Path) -> None:
    server = EmbeddedNats(tmp_path / "data")
    with pytest.raises(RuntimeError, match="has not been started"):
        _ = server.url
    with pytest.raises(RuntimeError, match="is not running"):
        _ = server.pid
