"""What a request costs Redis is what docs/sessions.md says that it does.

Round trips are what MONITOR shows on connections, and not inside scripts. With `appendfsync always`
each of them that writes is fsynced before it is answered, and stands in the append-only file as one
transaction or one command by itself; a request makes one after the other, so those are its fsyncs.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from nats.aio.client import Client
from redis.asyncio import Redis

from tests.issuer.conftest import CountingHasher
from tests.issuer.http.conftest import CONFIG, ISS, Issuer, bearer
from tests.support.ledger import publish
from tocsin_issuer.core.sequencer import Sequencer
from tocsin_issuer.embedded import EmbeddedNats, EmbeddedValkey
from tocsin_issuer.keys import ceremony
from tocsin_issuer.keys.ceremony import IssuerFolder
from tocsin_issuer.sequencing.appender import Appender
from tocsin_issuer.sequencing.committing import Committing
from tocsin_issuer.sequencing.restoring import Restoring
from tocsin_issuer.sequencing.store_guard import StoreGuard
from tocsin_issuer.store import names
from tocsin_issuer.store.account_endings import AccountEndings
from tocsin_issuer.store.connection import connect
from tocsin_issuer.store.passwords import Passwords
from tocsin_revocation_bus.core.replica import Replica
from tocsin_revocation_bus.core.trust import PinnedRoots
from tocsin_revocation_bus.jetstream.connection import BusAddress
from tocsin_revocation_bus.jetstream.connection import connect as connect_bus
from tocsin_revocation_bus.jetstream.streams import declare_ledger
from tocsin_schemas.keyset import Policy

_DOCS = Path(__file__).parents[3] / "docs" / "sessions.md"
_ROW = re.compile(r"^\| (?P<name>[^|]+?) \| (?P<trips>\d+) \| (?P<fsyncs>\d+) \|", re.MULTILINE)
_FIRST, _LAST = "what is counted begins", "what is counted ends"


def documented() -> dict[str, tuple[int, int]]:
    """Round trips and fsyncs by request, as the page says."""
    _, _, page = _DOCS.read_text(encoding="utf-8").partition("## What it costs")
    return {row["name"]: (int(row["trips"]), int(row["fsyncs"])) for row in _ROW.finditer(page)}


@dataclass
class Meter:
    """Counts what reaches one server."""

    redis: Redis
    files: Path

    async def cost_of(self, request: Callable[[], Awaitable[None]]) -> tuple[int, int]:
        """Round trips and fsyncs of one request on an idle server."""
        sent: list[str] = []
        before = self._written()
        async with self.redis.monitor() as monitor, asyncio.timeout(10):
            await self.redis.echo(_FIRST)
            await request()
            await self.redis.echo(_LAST)
            while _FIRST not in (await monitor.next_command())["command"]:
                pass
            while _LAST not in (seen := await monitor.next_command())["command"]:
                if seen["client_type"] != "lua" and names.AUDIT_LOG not in seen["command"]:
                    sent.append(seen["command"].split()[0].upper())
        return _units(sent), _units(_commands(self._written()[len(before) :]))

    def _written(self) -> bytes:
        return b"".join(path.read_bytes() for path in sorted(self.files.glob("*.incr.aof")))


def _commands(written: bytes) -> Iterator[str]:
    """Their names, from this part of an append-only file; the audit log is written when the request
    has been answered, many entries at once.
    """
    while written:
        count, _, written = written.partition(b"\r\n")
        parts: list[bytes] = []
        for _ in range(int(count[1:])):
            length, _, written = written.partition(b"\r\n")
            parts.append(written[: int(length[1:])])
            written = written[int(length[1:]) + 2 :]
        if not parts[1:] or not parts[1].startswith(names.AUDIT_LOG.encode()):
            yield parts[0].decode().upper()


def _units(sent: Iterable[str]) -> int:
    """Transactions, which are sent at once and written at once, and commands outside of them."""
    units, inside = 0, False
    for name in sent:
        inside = (inside or name == "MULTI") and name != "EXEC"
        units += not inside and name != "SELECT"
    return units


@pytest.fixture
async def meter(valkey: EmbeddedValkey) -> AsyncIterator[Meter]:
    client = connect(valkey.url)
    yield Meter(client, valkey.data_dir.path / "appendonlydir")
    await client.aclose()


class Sequencing:
    """The active sequencer's part, on a real NATS."""

    def __init__(self, folder: Path, issuer: Issuer, client: Client) -> None:
        policy = Policy()
        keyset = ceremony.init(folder, issuer=ISS, policy=policy, now=int(time.time()) - 1)
        with closing(IssuerFolder.open(folder)) as opened:
            self._document, signer = opened.newest_keyset(), opened.ledger_signer(keyset)
        roots = keyset.roots
        self.replica = Replica(ISS, PinnedRoots(frozenset(roots.public_keys()), roots.threshold))
        self._sequencer = Sequencer(ISS, signer, self.replica, "clock-of-the-cost-test")
        self._committing = Committing(
            sequencer=self._sequencer,
            replica=self.replica,
            appender=Appender(self._sequencer, client),
            outbox=issuer.outbox,
            journal=issuer.journal,
        )
        self._restoring = Restoring(
            issuer.redis,
            client,
            issuer.outbox,
            AccountEndings(
                issuer.redis,
                issuer.outbox,
                Passwords(issuer.hasher),
                max_token_life_s=CONFIG.max_token_life_s,
                session_absolute_s=CONFIG.session_absolute_s,
            ),
            lambda: self.replica,
        )

    async def start(self) -> None:
        """The first record."""
        self._sequencer.take_over(0, 0)
        await self._committing.commit((), [publish(self._document)])
        await self._committing.settling.finish()

    async def commit(self) -> None:
        """One turn of the loop."""
        assert self.replica.head is not None
        await self._restoring.bring_up(self.replica.head.n)
        assert await self._committing.commit_waiting()


@pytest.fixture
async def sequencing(tmp_path: Path, issuer: Issuer) -> AsyncIterator[Sequencing]:
    with EmbeddedNats(tmp_path / "nats") as nats:
        client = await connect_bus(BusAddress((nats.url,), nats.core_credentials), name="test")
        try:
            await declare_ledger(client)
            sequencing = Sequencing(tmp_path / "issuer", issuer, client)
            await sequencing.start()
            yield sequencing
        finally:
            await client.close()


@pytest.fixture
async def issuer(redis: Redis, hasher: CountingHasher) -> AsyncIterator[Issuer]:
    """It waits for no commit: that would ask the journal."""
    issuer = Issuer(redis, hasher, CONFIG.model_copy(update={"commit_wait_s": 0.0}))
    yield issuer
    await issuer.aclose()


async def test_each_request_costs_what_the_page_says(
    issuer: Issuer, sequencing: Sequencing, meter: Meter
) -> None:
    async def read_ledger() -> None:
        return None

    guard = StoreGuard(issuer.redis, sequencing.replica, read_ledger)
    issuer.context.sessions._require_current = guard.require_current
    await issuer.alice()
    other, login = await issuer.login(), dict[str, str]()

    async def log_in() -> None:
        login.update(await issuer.login())

    async def refresh() -> None:
        login.update((await issuer.refresh(login["refresh_token"])).json())

    async def ask(method: str, path: str, status: int) -> None:
        answer = await issuer.public.request(method, path, headers=bearer(login["access_token"]))
        assert answer.status_code == status

    requests: dict[str, Callable[[], Awaitable[None]]] = {
        "login": log_in,
        "refresh": refresh,
        "`GET /v1/sessions`": lambda: ask("GET", "/v1/sessions", 200),
        "`DELETE /v1/sessions/…`": lambda: ask(
            "DELETE", f"/v1/sessions/{other['session_id']}", 202
        ),
        "logout": lambda: ask("POST", "/v1/logout", 202),
        "… its record": sequencing.commit,
    }
    for request in requests.values():  # scripts are sent, and the run id is looked up, once
        await request()
    other.update(await issuer.login())
    costs = {name: await meter.cost_of(request) for name, request in requests.items()}
    assert costs == documented()
