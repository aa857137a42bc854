"""`tocsin ledger open-term` beside a running stack, and who else writes into its ledger."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from pathlib import Path
from typing import Any

from nats.aio.client import Client

from tests.faults.issuer_process import COMMAND
from tests.faults.stack import AUDIENCE, ISSUER, Stack
from tocsin_issuer.data_dir import DataDir
from tocsin_issuer.keys import kek
from tocsin_issuer.keys.key_store import KeyStore
from tocsin_issuer.keys.signer import PrivateKeySigner
from tocsin_revocation_bus.core.replica import Replica
from tocsin_revocation_bus.core.trust import PinnedRoots
from tocsin_revocation_bus.jetstream.replay import Replayed, replay
from tocsin_schemas import record
from tocsin_schemas.events import Event
from tocsin_schemas.subjects import LEDGER_PREFIX


def keys_of(stack: Stack, what: str = "keys") -> KeyStore:
    folder = stack.folder / "issuer-a"
    return KeyStore(DataDir(folder / what), kek.current(DataDir(folder)))


def ledger_key(stack: Stack) -> PrivateKeySigner:
    """What the sequencer signs with."""
    return keys_of(stack).load(next(key.kid for key in stack.keyset.keys if key.use == "ledger"))


def pins(stack: Stack) -> PinnedRoots:
    roots = stack.keyset.roots
    return PinnedRoots(frozenset(roots.public_keys()), roots.threshold)


async def read(client: Client, stack: Stack) -> tuple[Replica, list[Replayed]]:
    """The ledger as an agent reads it from its start."""
    replica = Replica(ISSUER, pins(stack))
    return replica, [one async for one in replay(client, replica)]


def next_record(stack: Stack, replica: Replica, *carried: Event, **changes: Any) -> str:
    """What could come next, but for the ``changes``."""
    head = replica.head
    assert head is not None
    members: dict[str, Any] = {
        "iss": ISSUER,
        "iat": max(int(time.time()), head.iat),
        "txn": "test",
        "term": head.term,
        "n": head.n + 1,
        "prev": head.hash,
        "signer": ledger_key(stack),
        **changes,
    }
    return record.build(carried=carried, **members)


async def append(client: Client, text: str) -> int:
    """Put bytes into the stream without asking any sequencer; where they lie."""
    answer = await client.request(LEDGER_PREFIX + "tick", text.encode(), timeout=5)
    return int(json.loads(answer.data)["seq"])


async def open_term(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `tocsin ledger open-term`."""
    return await asyncio.to_thread(
        subprocess.run,
        [*COMMAND, "ledger", "open-term", *arguments],
        cwd=stack.folder,
        capture_output=True,
        text=True,
        timeout=60,
        env={"TOCSIN_FILE": f"{AUDIENCE}.tocsin"},
        check=False,
    )


async def does(stack: Stack, *arguments: str) -> str:
    """Run it; it succeeds."""
    done = await open_term(stack, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def refused(stack: Stack, *arguments: str) -> str:
    """Run it; it is refused with this code."""
    done = await open_term(stack, *arguments)
    assert done.returncode == 1, done.stdout
    return done.stderr.strip().rsplit("[", 1)[1].rstrip("]")


async def assembled(stack: Stack, roots: int) -> Path:
    """The last good record's term, signed by that many roots, one after the other."""
    await does(stack, "prepare")
    secret = ("--secret-file", "issuer-a/kek", "--yes")
    parts = [f"{number}.sig.json" for number in range(roots)]
    files = sorted((stack.folder / "issuer-a/roots").glob("*.key"))[:roots]
    for root, part in zip(files, parts, strict=True):
        said = await does(stack, "sign", "--root", str(root), "--out", part, *secret)
        assert "counts for nothing" in said
    await does(stack, "assemble", "term-draft.json", *parts)
    return stack.folder / "term.json"
