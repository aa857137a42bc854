"""`tocsin revoke`: by token, session, subject, client, key, or everything; or a file of tokens."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tocsin_issuer.cli.admin import DEFAULT_FILE, AdminClient, AdminFile, read_access
from tocsin_issuer.cli.bulk import revoke_file
from tocsin_schemas.errors import ConfigurationError

_MEMBERS = {"session": "sid", "subject": "sub", "client": "client_id", "key": "kid"}


def revoke(
    token: Annotated[
        str | None, typer.Option(help="An access token; `-` reads it from standard input.")
    ] = None,
    jti: Annotated[str | None, typer.Option(help="A token's id, with --exp.")] = None,
    exp: Annotated[
        int | None, typer.Option(min=1, help="When that token expires, in seconds of UTC.")
    ] = None,
    session: Annotated[str | None, typer.Option(help="A sid.")] = None,
    subject: Annotated[str | None, typer.Option(help="A sub: logs out everywhere.")] = None,
    client: Annotated[str | None, typer.Option(help="A client_id.")] = None,
    key: Annotated[
        str | None,
        typer.Option(help="A foreign issuer's key, by its thumbprint; ours: `tocsin keys revoke`."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="Lines of `jti exp`, or of JSON with both; `-` is standard input."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every token of everybody.")] = False,
    issuer: Annotated[
        str | None, typer.Option(help="Whose it is, where it is not ours: an `iss`.")
    ] = None,
    reason: Annotated[str, typer.Option(help="A code: a-z, 0-9 and hyphens.")] = "admin",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how much it would hit.")
    ] = False,
    admin_file: AdminFile = DEFAULT_FILE,
) -> None:
    """Revoke, and say when it is in the ledger (or, with exit status 3, that it waits for it)."""
    wanted: dict[str, Any] = {
        "token": token,
        "jti": jti,
        "session": session,
        "subject": subject,
        "client": client,
        "key": key,
        "all": everything or None,
        "file": file,
    }
    named = {by: value for by, value in wanted.items() if value is not None}
    if len(named) != 1:
        raise ConfigurationError(
            "usage",
            "name one of --token, --jti, --session, --subject, --client, --key, --file or --all",
        )
    by, value = next(iter(named.items()))
    if (by == "jti") != (exp is not None):
        raise ConfigurationError("usage", "--jti and --exp go together")
    if (by == "key" and issuer is None) or (by in ("token", "all") and issuer is not None):
        raise ConfigurationError("usage", "--key needs --issuer; --token and --all have none")
    if file is not None:
        if dry_run:
            raise ConfigurationError("usage", "--file has no --dry-run: its lines are what it hits")
        revoke_file(AdminClient(read_access(admin_file)), file, reason, issuer)
        return
    body: dict[str, Any] = {"by": "token" if by == "jti" else by, "reason": reason}
    if by == "token":
        body["token"] = sys.stdin.read().strip() if value == "-" else value
    elif by != "all":
        body[_MEMBERS.get(by, by)] = value
    if exp is not None:
        body["exp"] = exp
    if issuer is not None:
        body["iss"] = issuer
    if dry_run:
        body["dry_run"] = True
    answer = AdminClient(read_access(admin_file)).call("POST", "/admin/revocations", body)
    print(json.dumps(answer.members))
    if answer.status == 202:
        raise typer.Exit(3)
