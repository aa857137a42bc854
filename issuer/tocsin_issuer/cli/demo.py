"""`tocsin demo`: the story in `examples/`, run from a checkout."""

import subprocess
import sys
from pathlib import Path

import typer

from tocsin_schemas.errors import ConfigurationError


def demo() -> None:
    """Run the whole story on real NATS and Valkey; the last line is one JSON object."""
    if not Path("examples/demo/__main__.py").exists():
        raise ConfigurationError("no_examples", "run this in a checkout: it has no examples/demo")
    raise typer.Exit(
        subprocess.run([sys.executable, "-m", "examples.demo"], check=False).returncode
    )
