"""`tocsin doctor`: what an operator should look at, from the issuer's own mouth."""

import typer

from tocsin_issuer.cli.admin import DEFAULT_FILE, AdminClient, AdminFile, read_access
from tocsin_issuer.cli.output import time_text


def doctor(admin_file: AdminFile = DEFAULT_FILE) -> None:
    """Say what comes to its end within 30 days, or has. Exit status 1 where there is something."""
    notices = AdminClient(read_access(admin_file)).call("GET", "/admin/keys").members["notices"]
    for notice in notices:
        when = "now" if notice["urgent"] else f"at {time_text(notice['at'])}"
        print(" ".join(part for part in ("keys:", notice["code"], notice["kid"], when) if part))
    if notices:
        raise typer.Exit(1)
    print("keys: ok")
