"""A bulk revocation streams through the issuer, which never holds it."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.up import TOCSIN, running_up

TOTAL = 200_000
MOST_MB = 16
"""The jtis alone are 14 MB as Python has them."""


def rss_mb(pid: int, which: str) -> float:
    """``VmRSS`` now, or ``VmHWM``, the highest so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith(which + ":"))
    return int(line.split()[1]) / 1024


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_memory_is_bounded(tmp_path: Path) -> None:
    exp = int(time.time()) + 600
    lines = tmp_path / "tokens.txt"
    lines.write_text("".join(f"{secrets.token_urlsafe(16)} {exp}\n" for _ in range(TOTAL)))
    with running_up(tmp_path, "orders") as up:
        before = rss_mb(up.process.pid, "VmRSS")
        # From here on the highest is counted anew: the start hashed a password in 64 MiB.
        Path(f"/proc/{up.process.pid}/clear_refs").write_text("5")
        done = subprocess.run(
            [TOCSIN, "revoke", "--file", str(lines)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        last = json.loads(done.stdout)
        assert (last["status"], last["accepted"]) == ("committed", TOTAL)
        assert rss_mb(up.process.pid, "VmHWM") - before < MOST_MB
