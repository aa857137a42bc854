"""A server as a child process: tied to its parent, its folder and its port."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tocsin_issuer.data_dir import DataDir
from tocsin_issuer.embedded import port as ports
from tocsin_schemas.errors import ConfigurationError

READY_TIMEOUT: Final = 30.0
"""Seconds until a start is given up; a long ledger or append-only file is read back in it."""

STOP_TIMEOUT: Final = 10.0
"""Seconds between SIGTERM and SIGKILL."""

_POLL: Final = 0.005
_PORT_NAME: Final = "port"
_PORT_ATTEMPTS: Final = 5

# Runs between fork and the server. A `preexec_fn` would run Python code in a forked copy of a
# process with threads. getppid is read after prctl: a parent that died before it sends no signal.
# Python ignores SIGPIPE, and what is ignored stays so across exec: hence the reset.
_STUB: Final = """
import os, signal, sys
if sys.platform == "linux":
    import ctypes
    if ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0) != 0:  # PR_SET_PDEATHSIG
        sys.exit("prctl(PR_SET_PDEATHSIG) failed")
if os.getppid() != int(sys.argv[1]):
    sys.exit("the parent process is gone")
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
os.execv(sys.argv[2], sys.argv[2:])
"""

# The parent's environment may hold secrets; the servers need none of it.
_ENVIRONMENT: Final = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZ")


class ServerProcess(ABC):
    """A server that lives in one data directory and, from its first start on, on one port.

    On Linux it is killed by the kernel when its parent ends, however that ends. The kernel ties
    it to the *thread* that forked it, so `start` and `restart` refuse any thread but the main
    one. Elsewhere an orphan survives, and keeps its data directory locked.

    It runs in a session of its own: Ctrl-C reaches only the parent, which stops it in order.
    The methods block for as long as the server takes, some tens of milliseconds as a rule.
    """

    name: str
    """The server's name in messages and in the names of its files."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = DataDir(data_dir)
        self._process: subprocess.Popen[bytes] | None = None
        self._port: int | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.data_dir.path)!r}, port={self._port})"

    @abstractmethod
    def _command(self, port: int) -> Sequence[str]:
        """Write what the server reads at its start, and return the command that starts it."""

    @abstractmethod
    def _ready(self, port: int) -> bool:
        """Whether this very process answers on `port`; asked again and again, never raises."""

    @property
    def port(self) -> int:
        """The loopback port, known from the first start on and kept afterwards."""
        if self._port is None:
            raise RuntimeError(f"{self.name} has not been started")
        return self._port

    @property
    def pid(self) -> int:
        """The server's own process id: the stub has become the server."""
        if self._process is None:
            raise RuntimeError(f"{self.name} is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process exists; a paused one does."""
        return self._process is not None and self._process.poll() is None

    @property
    def log_file(self) -> Path:
        """What the server prints, over all its starts."""
        return self.data_dir.path / f"{self.name}.log"

    def start(self) -> None:
        """Start and wait until the server answers; does nothing if it runs already.

        Raises `ConfigurationError`: `data_dir_in_use`, `data_dir_unusable`, `secret_file_open`,
        `server_missing` (the wheel is not installed), `port_in_use` (of a port that clients know
        already), `server_failed` (see the log).
        """
        if self.running:
            return
        if sys.platform == "linux" and threading.current_thread() is not threading.main_thread():
            raise RuntimeError(f"start {self.name} from the main thread: it dies with its thread")
        self.data_dir.acquire()
        try:
            self._start_on_a_port()
        except BaseException:
            self.kill()
            self.data_dir.release()
            raise

    def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """End the server, by force after `timeout` seconds, and let its data directory go."""
        self._end(timeout)
        self.data_dir.release()

    def kill(self) -> None:
        """End the server at once, as a crash would. The data directory stays held."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Freeze the server: its connections stay open and silent."""
        self._signal(signal.SIGSTOP)
        if sys.platform == "linux" and self.running:
            # A signal is only sent by then; each of the server's threads has to come to take it.
            os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Let a paused server go on."""
        self._signal(signal.SIGCONT)

    def restart(self, timeout: float = STOP_TIMEOUT) -> None:
        """End the server, if it runs, and start it on the same port, where its clients look."""
        self._end(timeout)
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _start_on_a_port(self) -> None:
        """Prefer the port of the last start; take another only while no client can know it."""
        if self._port is not None:
            self._launch(self._port)
            return
        remembered = self.data_dir.read_private(_PORT_NAME)
        wish = int(remembered) if remembered is not None and remembered.isdecimal() else None
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            port = wish if wish is not None and ports.is_free(wish) else ports.find_free()
            try:
                self._launch(port)
            except ConfigurationError as error:
                if error.code != "port_in_use" or attempt == _PORT_ATTEMPTS:
                    raise
                continue  # somebody was faster between the look and the start
            self.data_dir.write_private(_PORT_NAME, str(port))
            self._port = port
            return

    def _launch(self, port: int) -> None:
        """Start the process and wait until it answers on `port`."""
        if not ports.is_free(port):
            raise self._port_in_use(port)
        command = self._command(port)
        stub = [sys.executable, "-I", "-S", "-c", _STUB, str(os.getpid())]
        with self.data_dir.open_log(f"{self.name}.log") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own binary, no shell
                [*stub, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.data_dir.path,
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                pass_fds=(self.data_dir.lock_fd,),
                start_new_session=True,
                umask=0o077,
            )
        self._wait_until_ready(self._process, port)

    def _wait_until_ready(self, process: subprocess.Popen[bytes], port: int) -> None:
        deadline = time.monotonic() + READY_TIMEOUT
        while process.poll() is None:
            if self._ready(port):
                return
            if time.monotonic() > deadline:
                self.kill()
                raise self._failed(f"did not answer within {READY_TIMEOUT:.0f} s")
            time.sleep(_POLL)
        self.kill()
        if not ports.is_free(port):
            raise self._port_in_use(port)
        raise self._failed(f"exited with status {process.returncode} during its start")

    def _port_in_use(self, port: int) -> ConfigurationError:
        return ConfigurationError(
            "port_in_use", f"{self.name} needs port {port} of loopback, which is in use"
        )

    def _failed(self, what: str) -> ConfigurationError:
        return ConfigurationError("server_failed", f"{self.name} {what}; see {self.log_file}")

    def _end(self, timeout: float) -> None:
        if self._process is not None and self.running:
            self._signal(signal.SIGTERM)
            self._signal(signal.SIGCONT)  # a paused process would keep SIGTERM waiting
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout)
        self.kill()

    def _signal(self, number: signal.Signals) -> None:
        """Signal the server and what it has forked (Valkey forks to rewrite its file)."""
        if self.running:
            os.killpg(self.pid, number)
