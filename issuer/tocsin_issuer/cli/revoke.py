"""`tocsin revoke`: by token, session, subject, client, or everything."""

import json
import sys
from typing import Annotated, Any

import typer

from tocsin_issuer.cli.admin import DEFAULT_FILE, AdminClient, AdminFile, read_access
from tocsin_schemas.errors import ConfigurationError


def revoke(
    token: Annotated[
        str | None, typer.Option(help="An access token; `-` reads it from standard input.")
    ] = None,
    session: Annotated[str | None, typer.Option(help="A sid.")] = None,
    subject: Annotated[str | None, typer.Option(help="A sub: logs out everywhere.")] = None,
    client: Annotated[str | None, typer.Option(help="A client_id.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every token of everybody.")] = False,
    reason: Annotated[str, typer.Option(help="A code: a-z, 0-9 and hyphens.")] = "admin",
    admin_file: AdminFile = DEFAULT_FILE,
) -> None:
    """Revoke, and say when it is in the ledger (or, with exit status 3, that it waits for it)."""
    wanted: dict[str, Any] = {
        "token": token,
        "session": session,
        "subject": subject,
        "client": client,
        "all": everything or None,
    }
    named = {by: value for by, value in wanted.items() if value is not None}
    if len(named) != 1:
        raise ConfigurationError(
            "usage", "name one of --token, --session, --subject, --client or --all"
        )
    by, value = next(iter(named.items()))
    body: dict[str, Any] = {"by": by, "reason": reason}
    if by == "token":
        body["token"] = sys.stdin.read().strip() if value == "-" else value
    elif by != "all":
        body[{"session": "sid", "subject": "sub", "client": "client_id"}[by]] = value
    answer = AdminClient(read_access(admin_file)).call("POST", "/admin/revocations", body)
    print(json.dumps(answer.members))
    if answer.status == 202:
        raise typer.Exit(3)
