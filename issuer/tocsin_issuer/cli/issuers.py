"""`tocsin issuers`: the foreign issuers, and their keys as the ledger has them."""

import json
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from tocsin_issuer.cli.admin import DEFAULT_FILE, AdminClient, AdminFile, read_access
from tocsin_issuer.cli.output import print_table

app = typer.Typer(help="Other people's identity providers.", no_args_is_help=True)


@app.command("list")
def list_issuers(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    admin_file: AdminFile = DEFAULT_FILE,
) -> None:
    """Show each issuer's keys, when they were fetched (UTC), and why the last fetch failed."""
    answer = AdminClient(read_access(admin_file)).call("GET", "/admin/issuers")
    if as_json:
        print(json.dumps(answer.members))
        return
    table = Table("issuer", "fetched", "last failure", "kid", "thumbprint")
    for issuer in answer.members["issuers"]:
        names = [(key["kid"], key["thumbprint"], key["revoked"]) for key in issuer["keys"]]
        first = (issuer["iss"], _time(issuer["fetched_at"]), issuer["failure"] or "")
        for number, (kid, thumbprint, revoked) in enumerate(names or [("none", "", False)]):
            row = first if number == 0 else ("", "", "")
            table.add_row(*row, kid, thumbprint + (" (revoked)" if revoked else ""))
    print_table(table)


@app.command()
def refresh(admin_file: AdminFile = DEFAULT_FILE) -> None:
    """Fetch all keys again now, but for what was fetched within the last 30 seconds."""
    answer = AdminClient(read_access(admin_file)).call("POST", "/admin/issuers/refresh")
    print(json.dumps(answer.members))


def _time(seconds: object) -> str:
    if not isinstance(seconds, int | float):
        return "never"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
