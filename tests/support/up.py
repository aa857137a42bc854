"""`tocsin up` as a process of its own: the issuer as its users run it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.ports import find_free

TOCSIN = str(Path(sys.executable).with_name("tocsin"))
READY_S = 30.0


@dataclass(frozen=True)
class Up:
    """A running issuer: its folder, and where its two listeners are."""

    folder: Path
    public_url: str
    internal_url: str
    process: subprocess.Popen[bytes]
    http: httpx.Client

    def secrets(self, name: str) -> dict[str, str]:
        """What the first start left in a file: ``admin`` or ``first-user``."""
        text = (self.folder / ".tocsin" / f"{name}.toml").read_text()
        members: dict[str, str] = tomllib.loads(text)
        return members

    def log_in(self, **more: str) -> dict[str, Any]:
        """Log the first user in."""
        return self._answer("/v1/login", json={**self.secrets("first-user"), **more})

    def operator_token(self) -> str:
        """An access token of the operator's client."""
        admin = self.secrets("admin")
        auth = (admin["client_id"], admin["client_secret"])
        form = {"grant_type": "client_credentials"}
        return str(self._answer("/oauth/token", data=form, auth=auth)["access_token"])

    def administer(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Ask the admin API for something that succeeds."""
        headers = {"Authorization": f"Bearer {self.operator_token()}"}
        return self._answer(self.internal_url + path, json=body, headers=headers)

    def _answer(self, path: str, **request: Any) -> dict[str, Any]:
        answer = self.http.post(httpx.URL(self.public_url).join(path), **request)
        assert answer.is_success, answer.text
        members: dict[str, Any] = answer.json()
        return members


@contextmanager
def running_up(folder: Path, *services: str, options: Sequence[str] = ()) -> Iterator[Up]:
    """Start it in a folder, and end it as Ctrl-C does. In the main thread.

    What it says on the terminal, the first secrets too, is in `up.out`; its log is `up.log`.
    """
    public, internal = find_free(), find_free()
    command = [TOCSIN, "up", "--public-port", str(public), "--internal-port", str(internal)]
    for service in services:
        command += ["--service", service]
    out, log = folder / "up.out", folder / "up.log"
    with out.open("wb") as shown, log.open("wb") as logged:
        process = subprocess.Popen(
            [*command, *options], cwd=folder, stdout=shown, stderr=logged, start_new_session=True
        )
    try:
        deadline = time.monotonic() + READY_S
        while b"ready" not in out.read_bytes():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        public_url, internal_url = f"http://127.0.0.1:{public}", f"http://127.0.0.1:{internal}"
        with httpx.Client() as http:  # one for all: each costs some 30 ms to make
            yield Up(folder, public_url, internal_url, process, http)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
