"""`tocsin revoke --file`: as many tokens as a file names, in one call, with its progress."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

from tocsin_issuer.cli.admin import AdminClient
from tocsin_schemas.errors import ConfigurationError

_CHUNK = 64 * 1024
_PENDING_STATUS = 3


def revoke_file(client: AdminClient, path: Path, reason: str, issuer: str | None) -> None:
    """Send the file, or standard input where it is `-`; print how it ended.

    Bad lines are named on standard error. Exit status 0: all of it is in the ledger; 3: it waits
    for the ledger; 1: something was refused, or it stopped early. It can then be sent again.

    Raises:
        ConfigurationError: ``file_unreadable``.
    """
    try:
        size = None if str(path) == "-" else path.stat().st_size
        file = sys.stdin.buffer if size is None else path.open("rb")
    except OSError as error:
        raise ConfigurationError("file_unreadable", f"{path}: {error.strerror}") from None
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeElapsedColumn(),
    )
    last: dict[str, Any] = {}
    with file, Progress(*columns, console=console, disable=not console.is_terminal) as shown:
        task = shown.add_task("sent", total=size)
        chunks = _chunks(file, lambda length: shown.advance(task, length))
        query = {"reason": reason} if issuer is None else {"reason": reason, "iss": issuer}
        for last in client.stream("/admin/revocations/bulk", query, chunks):
            if "line" in last:
                console.print(f"line {last['line']}: {last['code']}")
    print(json.dumps(last))
    if last.get("status") == "pending" and not last["refused"]:
        raise typer.Exit(_PENDING_STATUS)
    if last.get("status") != "committed" or last["refused"]:
        raise typer.Exit(1)


def _chunks(file: BinaryIO, sent: Callable[[int], None]) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk
        sent(len(chunk))
