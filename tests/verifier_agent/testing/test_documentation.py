"""docs/testing.md: what it shows works as it stands, in a project of a newcomer's own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tocsin_verifier_agent.testing import LocalIssuer

PAGE = (Path(__file__).parents[3] / "docs" / "testing.md").read_text()
BLOCK = re.compile(r"```python\n# (\w+\.py)\n(.*?)```", re.DOTALL)


def test_the_project_that_it_shows(tmp_path: Path) -> None:
    files = dict(BLOCK.findall(PAGE))
    assert set(files) == {"conftest.py", "test_orders.py"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    without = ("no:cacheprovider", "no:valkey", "no:asyncio")
    command = [sys.executable, "-m", "pytest", *(word for name in without for word in ("-p", name))]
    environment = {name: text for name, text in os.environ.items() if name[:7] != "PYTEST_"}
    ran = subprocess.run(
        [*command, "-W", "error", "--rootdir", tmp_path, tmp_path],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "2 passed" in ran.stdout


def test_it_names_everything_that_there_is() -> None:
    public = {name for name in dir(LocalIssuer) if not name.startswith("_")} | {"agent"}
    rows = {name for row in re.findall(r"^\| (`.*?) \|", PAGE, re.M) for name in _names(row)}
    assert rows == public


def _names(row: str) -> list[str]:
    return re.findall(r"`(\w+)", row)
