"""`tocsin audit`: the ledger, replayed; and the log of who asked for what."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import typer
from msgspec import to_builtins
from rich.markup import escape
from rich.table import Table

from tocsin_issuer.cli.admin import DEFAULT_FILE, AdminClient, AdminFile, read_access
from tocsin_issuer.cli.bus import ServiceFile, connected
from tocsin_issuer.cli.output import print_table
from tocsin_revocation_bus.core.replica import Replica
from tocsin_revocation_bus.jetstream.replay import Replayed, replay
from tocsin_schemas.errors import LedgerHalted, LedgerRejected
from tocsin_schemas.events import KIND_OF, Event, KeysetPublished
from tocsin_verifier_agent import agent_file

app = typer.Typer(help="What the ledger says, and who did what.", no_args_is_help=True)
_PAGE = 500
_BULKY = {"keyset", "statement"}


@app.command("replay")
def replay_command(
    file: ServiceFile = Path("dev.tocsin"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    kind: Annotated[str | None, typer.Option(help="Only records with this kind of event.")] = None,
    since: Annotated[int, typer.Option(help="Only records from this time on (s of UTC).")] = 0,
) -> None:
    """Replay the ledger from its first record: each record, then what the whole amounts to.

    Exit status 1 where the chain is broken.
    """
    asyncio.run(_replay(file, as_json, kind, since))


@app.command("log")
def log_command(
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 100,
    refusals: Annotated[bool, typer.Option("--refusals", help="What was refused.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    admin_file: AdminFile = DEFAULT_FILE,
) -> None:
    """Show the audit log: admin calls, logins and exchanges, or what of these was refused."""
    client = AdminClient(read_access(admin_file))
    table = Table(
        "time (UTC)", "action", "outcome", "actor", "client", "target", "event", "address"
    )
    left, cursor = limit, ""
    while left:
        query = urlencode(
            {
                "of": "refusals" if refusals else "acts",
                "limit": min(left, _PAGE),
                "cursor": cursor,
            }
        )
        page = client.call("GET", f"/admin/audit-log?{query}").members
        for entry in page["entries"]:
            if as_json:
                print(json.dumps(entry))
            else:
                table.add_row(_time(entry["time_ms"] / 1000), *_cells(entry))
        left -= len(page["entries"])
        cursor = page.get("cursor", "")
        if not cursor:
            break
    if not as_json:
        print_table(table)


def _cells(entry: dict[str, Any]) -> list[str]:
    names = ("action", "outcome", "actor", "client_id", "target", "event_id", "address")
    return [escape(str(entry.get(name, ""))) for name in names]


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


async def _replay(file: Path, as_json: bool, kind: str | None, since: int) -> None:
    parsed = agent_file.read(file)
    replica = Replica(parsed.issuer, parsed.pinned())
    table = Table("time (UTC)", "term.n", "events", "what", "hash")
    async for one in _records(parsed, file, replica):
        kinds = [KIND_OF[type(event)] for event in one.record.events]
        if one.record.iat < since or (kind is not None and kind not in kinds):
            continue
        if as_json:
            print(json.dumps(_members(one)))
        else:
            table.add_row(
                _time(one.record.iat),
                f"{one.record.term}.{one.record.n}",
                ", ".join(dict.fromkeys(kinds)),
                "; ".join(_in_words(event) for event in one.record.events[:3])
                + ("; …" if len(one.record.events) > 3 else ""),
                one.record.hash[:10],
            )
    if not as_json:
        print_table(table)
    summary = summary_of(replica)
    print(json.dumps(summary))
    if not summary["intact"]:
        raise _broken(replica)


def _broken(replica: Replica) -> LedgerRejected:
    if replica.halted is not None:
        return replica.halted
    return LedgerHalted("chain_incomplete", "the ledger holds bytes that are no part of the chain")


def summary_of(replica: Replica) -> dict[str, Any]:
    """What a finished replay amounts to, as JSON members."""
    head = replica.head
    noise = {code: count for code, count in replica.noise.items() if code.startswith("record")}
    return {
        "intact": replica.halted is None and head is not None and not replica.noise,
        "records": 0 if head is None else head.n,
        "head": None if head is None else {"term": head.term, "n": head.n, "hash": head.hash},
        "state_hash": replica.state.hash(),
        "rules": replica.state.counts(),
        "noise": noise or dict(replica.noise),
    }


async def _records(
    parsed: agent_file.AgentFile, file: Path, replica: Replica
) -> AsyncIterator[Replayed]:
    async with connected(parsed, file, "tocsin audit") as client:
        async for one in replay(client, replica):
            yield one


def _members(one: Replayed) -> dict[str, Any]:
    return {
        "seq": one.seq,
        "term": one.record.term,
        "n": one.record.n,
        "iat": one.record.iat,
        "txn": one.record.txn,
        "hash": one.record.hash,
        "prev": one.record.prev,
        "events": [
            {"kind": KIND_OF[type(event)], **_without_documents(event)}
            for event in one.record.events
        ],
    }


def _without_documents(event: Event) -> dict[str, Any]:
    members: dict[str, Any] = to_builtins(event)
    return {name: value for name, value in members.items() if name not in _BULKY}


def _in_words(event: Event) -> str:
    if isinstance(event, KeysetPublished):
        return f"keyset ({event.reason})"
    members = _without_documents(event)
    for many in ("tokens", "sessions"):
        if many in members:
            return f"{len(members[many])} {many} ({event.reason})"
    named = [str(members[name]) for name in ("sub", "client_id", "kid") if name in members]
    if "before" in members:
        named.append(
            "before " + datetime.fromtimestamp(members["before"], UTC).strftime("%H:%M:%S")
        )
    return f"{' '.join(named)} ({event.reason})".strip()
