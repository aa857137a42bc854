"""`tocsin keys`: look at the token keys, rotate them, revoke one."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from tocsin_issuer.cli import ceremony
from tocsin_issuer.cli.admin import DEFAULT_FILE, AdminClient, AdminFile, read_access
from tocsin_issuer.cli.output import print_table, time_text
from tocsin_issuer.keys.rekey import rekey

app = typer.Typer(
    help="The keys: phases and dates; rotate; revoke; ceremonies.", no_args_is_help=True
)
app.add_typer(ceremony.app, name="ceremony")


def _time(seconds: object) -> str:
    if not isinstance(seconds, int | float):
        return "unknown"
    if seconds <= 0:
        return "at once"
    return time_text(seconds)


@app.command("list")
def list_keys(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    admin_file: AdminFile = DEFAULT_FILE,
) -> None:
    """Show all keys with their phases and dates (UTC), and what will soon be missing."""
    answer = AdminClient(read_access(admin_file)).call("GET", "/admin/keys")
    if as_json:
        print(json.dumps(answer.members))
        return
    keyset = answer.members["keyset"]
    print(f"keyset {keyset['version']}, until {_time(keyset['expires_at'])}")
    table = Table("kid", "alg", "phase", "may sign from", "turn ends", "verified until")
    for key in answer.members["keys"]:
        table.add_row(
            key["kid"],
            key["alg"],
            key["phase"] if key["held"] else f"{key['phase']}, not here",
            _time(key["usable_from"]),
            _time(key["turn_ends"]),
            _time(key["verify_until"]),
        )
    print_table(table)
    ledger = Table("ledger key", "alg", "phase", "until")
    for key in answer.members["ledger_keys"]:
        phase = "revoked" if key["revoked"] else "signs" if key["held"] else "not here"
        ledger.add_row(key["kid"], key["alg"], phase, _time(key["sign_until"]))
    print_table(ledger)
    for notice in answer.members["notices"]:
        print(f"{notice['code']} {notice['kid']} at {_time(notice['at'])}")


@app.command()
def rotate(admin_file: AdminFile = DEFAULT_FILE) -> None:
    """Move to the next key before its time. No root is needed while another one follows it."""
    answer = AdminClient(read_access(admin_file)).call("POST", "/admin/keys/rotate")
    print(json.dumps(answer.members))


@app.command("revoke")
def revoke_key(
    kid: Annotated[str, typer.Argument(help="The compromised key's kid.")],
    admin_file: AdminFile = DEFAULT_FILE,
) -> None:
    """Revoke a key at once: its tokens die, and the standby signs from now on."""
    answer = AdminClient(read_access(admin_file)).call("POST", f"/admin/keys/{kid}/revoke")
    print(json.dumps(answer.members))
    if answer.status == 202:
        raise typer.Exit(3)


@app.command("rekey")
def rekey_folder(
    folder: Annotated[Path, typer.Option("--dir", help="The issuer's data directory.")] = Path(
        ".tocsin/issuer"
    ),
    new_kek_file: Annotated[
        Path | None,
        typer.Option(
            envvar="TOCSIN_NEXT_KEK_FILE",
            help="Holds the next key, where the key does not lie in the directory.",
        ),
    ] = None,
) -> None:
    """Change the key-encryption key. Stop the issuer first; after a crash, run it again."""
    count = rekey(folder, new_kek_file)
    print(f"{count} private keys in {folder} are encrypted anew")
    if new_kek_file is not None:
        print(f"from now on TOCSIN_KEK_FILE names {new_kek_file}")
