"""What the repository looks like, and what must not be in it."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MEMBERS = ("schemas", "revocation_bus", "verifier_agent", "issuer")

# In pieces, or this file would be found too.
REGISTRIES = ("pypi" + ".org", "files.pythonhosted" + ".org", "registry.npmjs" + ".org")
MACHINE_PATH = re.compile(rb"(?<![\w.)}\]*~<>-])/(?:work|root)/")


@pytest.fixture(scope="module")
def committed() -> list[Path]:
    """What git holds or would take."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("this is not a git checkout")
    paths = [ROOT / os.fsdecode(name) for name in listed.split(b"\0") if name]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


@pytest.mark.parametrize("member", MEMBERS)
def test_a_member_is_complete(member: str) -> None:
    folder = ROOT / member
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == f"tocsin-{member.replace('_', '-')}"
    assert (folder / project["readme"]).read_text().strip()
    package = folder / f"tocsin_{member}"
    assert (package / "__init__.py").is_file()
    assert (package / "py.typed").read_bytes() == b""
    others = {path.name for path in folder.iterdir() if (path / "__init__.py").exists()}
    assert others == {package.name}


def test_the_workspace_names_its_members() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["uv"]["workspace"]["members"] == list(MEMBERS)


def test_no_file_names_a_package_registry(committed: list[Path]) -> None:
    pattern = re.compile("|".join(map(re.escape, REGISTRIES)).encode())
    assert [str(path) for path in committed if pattern.search(path.read_bytes())] == []


def test_no_file_names_a_path_of_one_machine(committed: list[Path]) -> None:
    assert [str(path) for path in committed if MACHINE_PATH.search(path.read_bytes())] == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("cd /" + "work/main", True),
        ('"/' + 'root/.cache"', True),
        ("file:///" + "work/main", True),
        ("issuer/root/keys", False),
        ("https://issuer.example/work/list", False),
    ],
)
def test_a_path_of_one_machine_is_known_when_seen(text: str, found: bool) -> None:
    assert bool(MACHINE_PATH.search(text.encode())) is found


def test_no_lock_file_with_addresses(committed: list[Path]) -> None:
    """`requirements.lock` has pins and hashes; uv.lock would have download addresses too."""
    assert [path for path in committed if path.name == "uv.lock"] == []
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    assert lock.count("--hash=sha256:") > lock.count("==") > 0


def test_no_secret_is_committed(committed: list[Path]) -> None:
    kept = [path for path in committed if path.suffix in {".tocsin", ".nk", ".pem", ".key"}]
    assert kept == []
    assert [path for path in committed if "docker/secrets" in path.as_posix()] == []


def test_the_merge_check_runs_both_targets() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    text = script.read_text()
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "\nset -euo pipefail\n" in text
    assert [line for line in text.splitlines() if line.startswith("make ")] == [
        "make check",
        "make test",
    ]
