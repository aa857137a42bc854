"""A seed replays exactly in another process too, whatever that hashes strings with."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLAY = """
from tests.simulator.crypto import fast_signatures
from tests.simulator.run import run
with fast_signatures():
    print([run(seed).digest for seed in range(40)])
"""


def _play(hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", PLAY],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_the_hash_seed_does_not_matter() -> None:
    assert _play("1") == _play("2")
