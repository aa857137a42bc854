"""The watch over the logs finds a secret that is planted, wherever it is, and no other."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONFTEST = (ROOT / "tests" / "conftest.py").read_text()
OPENING = """
import base64, logging

import httpx
import pytest
from tocsin_issuer.store.passwords import Passwords
from tocsin_issuer.store.refresh_token import RefreshToken, new_sid

SECRETS = {"access_token": "aaaa." + "b" * 40 + "." + "c" * 86, "client_secret": "d" * 43}
REFRESH = RefreshToken.first(new_sid()).text
BASIC = base64.b64encode(b"reports:" + b"g" * 43).decode()
log = logging.getLogger("tocsin.test")


def answer(request):
    return httpx.Response(200, json=SECRETS)


@pytest.fixture(autouse=True)
async def secrets():
    transport = httpx.MockTransport(answer)
    async with httpx.AsyncClient(transport=transport) as client:
        body = {"password": "a passphrase"}
        await client.post("http://x/", json=body, headers={"Authorization": "Bearer " + "e" * 40})
    with httpx.Client(transport=transport) as client:
        body = {"refresh_token": "s.0." + "f" * 64}
        client.post("http://x/", data=body, auth=("reports", "g" * 43))
    await Passwords(at_once=1).hash("another passphrase")
"""
GOOD = ('log.debug("user u_1, sid %s, client reports", REFRESH.partition(".")[0])',)
PLANTED = (
    'log.debug("a whole token %s", SECRETS["access_token"])',
    'log.info("a signature: %s", "c" * 86)',
    'log.warning("a payload=%s;", "b" * 40)',
    'log.debug("{\\"client_secret\\":\\"%s\\"}", "d" * 43)',
    'log.debug("a bearer token that was sent: %s", "e" * 40)',
    'log.debug("a refresh token that was sent=%s", "f" * 64)',
    "log.debug(REFRESH)",
    'log.debug("Authorization: Basic %s", BASIC)',
    'log.debug("a secret that was sent: %s", "g" * 43)',
    'log.debug("user alice, a passphrase, failed")',
    'log.debug("hashed another passphrase")',
    'log.debug("failed", exc_info=ValueError("d" * 43))',
    'log.debug("failed", extra={"fields": {"secret": "d" * 43}})',
    '(tmp_path / "child.log").write_text("secret=" + "d" * 43)',
)


def run(folder: Path, lines: Sequence[str], *options: str) -> subprocess.CompletedProcess[str]:
    """Run one test for each line, in a process of its own."""
    tests = [f"def test_{i}(tmp_path):\n    {line}\n" for i, line in enumerate(lines)]
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_logs.py").write_text("\n\n".join([OPENING, *tests]))
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:valkey", "-p", "no:schemathesis"]
    outer = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [*command, *options, "--basetemp", str(folder / "temp"), str(folder)],
        cwd=folder,
        env={**outer, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    shutil.rmtree(folder / "temp")  # or the watch over this run would find the plants too
    assert f"{len(lines)} passed" in done.stdout, done.stdout + done.stderr
    return done


def test_a_run_without_secrets_in_its_logs_passes(tmp_path: Path) -> None:
    done = run(tmp_path, GOOD)
    assert done.returncode == 0, done.stdout
    assert "secrets in logs" not in done.stdout


@pytest.mark.parametrize("workers", ["0", "2"])
def test_each_planted_secret_fails_the_run_and_is_not_shown(tmp_path: Path, workers: str) -> None:
    done = run(tmp_path, (*GOOD, *PLANTED), "-n", workers)
    assert done.returncode == 1, done.stdout
    summary = done.stdout.partition("secrets in logs")[2]
    found = {i for i in range(len(PLANTED) + 1) if f"test_{i}\n" in summary}
    in_records = set(range(1, len(PLANTED)))
    assert found == in_records, done.stdout
    assert "client_secret in " in summary
    assert "child.log" in summary
    assert not any(letter * 40 in summary for letter in "bcdefg")
    assert "passphrase" not in summary
