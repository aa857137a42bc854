"""What benchmarks run against: real NATS and Valkey, and the issuer in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tocsin_issuer.data_dir import DataDir
from tocsin_issuer.embedded import EmbeddedNats, EmbeddedValkey
from tocsin_issuer.embedded.port import find_free
from tocsin_issuer.keys import kek
from tocsin_issuer.keys.key_store import KeyStore
from tocsin_issuer.keys.signer import PrivateKeySigner

READY_S = 30.0


@dataclass(frozen=True, slots=True)
class Stack:
    """A running issuer and its servers."""

    folder: Path
    nats: EmbeddedNats
    redis_url: str
    issuer: str
    issuer_pid: int

    def service_file(self, audience: str) -> Path:
        """The `.tocsin` file of a service."""
        return self.folder / f"{audience}.tocsin"

    def token_signers(self) -> list[PrivateKeySigner]:
        """The token keys, so that a benchmark can mint without asking the issuer."""
        folder = self.folder / ".tocsin" / "issuer"
        store = KeyStore(DataDir(folder / "keys"), kek.current(DataDir(folder)))
        return [store.load(kid) for kid in store.kids()]


@contextmanager
def running_stack(audience: str) -> Iterator[Stack]:
    """Start everything in a new folder, and end it."""
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as name:
        folder = Path(name)
        with EmbeddedNats(folder / "nats") as nats, EmbeddedValkey(folder / "valkey") as valkey:
            port = find_free()
            command = [str(Path(sys.executable).with_name("tocsin")), "up", "--service", audience]
            command += ["--public-port", str(port), "--internal-port", str(find_free())]
            environment = {
                **os.environ,
                "TOCSIN_NATS_URL": nats.url,
                "TOCSIN_NATS_CREDENTIALS_FILE": str(nats.core_credentials),
                "TOCSIN_NATS_EDGE_CREDENTIALS_FILE": str(nats.edge_credentials),
                "TOCSIN_REDIS_URL": valkey.url,
            }
            log = folder / "up.log"
            with log.open("wb") as output:
                issuer = subprocess.Popen(
                    command, cwd=folder, env=environment, stdout=output, stderr=output
                )
            try:
                _wait_until_ready(issuer, log)
                yield Stack(folder, nats, valkey.url, f"http://127.0.0.1:{port}", issuer.pid)
            finally:
                issuer.terminate()
                issuer.wait(20)


def _wait_until_ready(issuer: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while b"ready" not in log.read_bytes():
        if issuer.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"the issuer does not start: {log.read_text()}")
        time.sleep(0.05)
