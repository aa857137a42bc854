"""The commands, put together; and what a failure looks like: one clear line, a non-zero status."""

import logging
import sys

import typer

from tocsin_issuer.cli import (
    audit,
    demo,
    doctor,
    issuer,
    issuers,
    keys,
    ledger,
    revoke,
    sidecar,
    token,
    up,
)
from tocsin_schemas.errors import TocsinError

app = typer.Typer(
    name="tocsin",
    help="Revokes JWTs and rotates signing keys across a fleet, with a proven time bound.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("up")(up.up)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.command("revoke")(revoke.revoke)
app.command("sidecar")(sidecar.sidecar)
app.add_typer(issuer.app, name="issuer")
app.add_typer(issuers.app, name="issuers")
app.add_typer(keys.app, name="keys")
app.add_typer(ledger.app, name="ledger")
app.add_typer(audit.app, name="audit")
app.add_typer(token.app, name="token")


def main() -> None:
    """Run the command line."""
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr
    )
    try:
        app()
    except TocsinError as error:
        sys.stderr.write(f"tocsin: {error} [{error.code}]\n")
        sys.exit(1)
