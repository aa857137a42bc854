"""The deployment without its containers: the same secrets, environment and commands on loopback."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.secrets_folder import ISSUER, SERVICES, make
from tests.deploy.servers import ContainerNats, ContainerValkey, replace_once
from tests.support.ports import find_free
from tocsin_issuer.deploy_secrets import NATS_URL
from tocsin_verifier_agent import VerifierAgent

ROOT = Path(__file__).parents[2]
START_S = 20.0


class Stack:
    """Real servers and an issuer process, on a copy of the secrets in one folder."""

    def __init__(self, folder: Path, *, made_at: int) -> None:
        self.folder = folder
        self.secrets = folder / "secrets"
        make(self.secrets, now=made_at)
        self.port = find_free()
        self._compose: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
        self._running = ExitStack()

    def __enter__(self) -> Stack:
        with ExitStack() as started:
            self.nats = started.enter_context(
                ContainerNats(self.folder / "nats", self._secret("nats.conf"))
            )
            self.valkey = started.enter_context(
                ContainerValkey(
                    self.folder / "valkey",
                    self._secret("valkey.conf"),
                    self._secret("valkey.password"),
                )
            )
            started.callback(self._end, self._start_issuer())
            self._running = started.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def _secret(self, name: str) -> str:
        return (self.secrets / name).read_text()

    def _start_issuer(self) -> subprocess.Popen[bytes]:
        container = self._compose["services"]["issuer"]
        given: dict[str, str] = container["environment"]
        url = self.secrets / "redis.url"
        url.write_text(
            replace_once(url.read_text(), "valkey:6379", f"127.0.0.1:{self.valkey.port}")
        )
        moved = {
            "TOCSIN_ISSUER": ISSUER,
            "TOCSIN_DATA_DIR": str(self.secrets / "issuer"),
            "TOCSIN_NATS_URL": self.nats.url,
            "TOCSIN_PUBLIC_HOST": "127.0.0.1",
            "TOCSIN_PUBLIC_PORT": str(self.port),
            "TOCSIN_INTERNAL_PORT": str(find_free()),
        }
        environment = {
            name: moved.get(name, value).replace("/run/secrets", str(self.secrets))
            for name, value in given.items()
        }
        tool, *arguments = container["command"]
        self.log = self.folder / "issuer.log"
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                [str(Path(sysconfig.get_path("scripts")) / tool), *arguments],
                env=environment,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_S
        while not self._healthy(container):
            if process.poll() is not None or time.monotonic() > deadline:
                self._end(process)
                pytest.fail(f"the issuer is not healthy:\n{self.log.read_text()}")
            time.sleep(0.1)
        return process

    def _healthy(self, container: dict[str, Any]) -> bool:
        """The container's own health check."""
        _, _, flag, code = container["healthcheck"]["test"]
        code = replace_once(code, ":8080/", f":{self.port}/")
        return subprocess.run([sys.executable, flag, code], capture_output=True).returncode == 0

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def service_file(self, name: str) -> Path:
        path = self.secrets / f"{name}.tocsin"
        path.write_text(replace_once(path.read_text(), NATS_URL, self.nats.url))
        return path


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    with Stack(folder, made_at=int(time.time())) as running:
        yield running
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", SERVICES)
async def test_the_agent_of_a_service_is_live_on_its_file(stack: Stack, name: str) -> None:
    agent = VerifierAgent.from_file(stack.service_file(name))
    try:
        assert await agent.run_in_loop(START_S), agent.status()
    finally:
        await agent.leave_loop()


def test_the_log_of_the_issuer_holds_no_secret(stack: Stack) -> None:
    log = stack.log.read_text()
    for name in ("valkey.password", "core.nk", "edge.nk", "kek"):
        assert (stack.secrets / name).read_text().strip() not in log
    assert not re.search(r"Traceback", log)
