"""`tocsin token`: what an up-to-date verifier says of a token."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from tocsin_schemas.errors import AgentStale, TokenRejected
from tocsin_verifier_agent import VerifierAgent, agent_file

app = typer.Typer(help="Look at a token.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """A group even while it has one command."""


@app.command()
def check(
    token: Annotated[str, typer.Argument(help="The token; `-` reads it from standard input.")],
    file: Annotated[
        Path, typer.Option("--file", envvar="TOCSIN_FILE", help="A .tocsin file.")
    ] = Path("dev.tocsin"),
) -> None:
    """Verify a token as a service would: exit status 0 accepted, 1 rejected, 3 nobody can say."""
    text = token if token != "-" else sys.stdin.read().strip()  # noqa: S105 (no password)
    agent = VerifierAgent.from_parsed(agent_file.read(file), file.parent)
    agent.start()
    try:
        verified = agent.verify(text)
    except TokenRejected as rejected:
        print(json.dumps({"active": False, "code": rejected.code}))
        raise typer.Exit(1) from None
    except AgentStale as stale:
        print(json.dumps({"active": None, "code": stale.code}))
        raise typer.Exit(3) from None
    finally:
        agent.stop()
    print(
        json.dumps(
            {
                "active": True,
                "claims": dict(verified.claims),
                "valid_until": round(verified.valid_until, 3),
            }
        )
    )
