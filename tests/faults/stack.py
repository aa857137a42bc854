"""Real NATS and Valkey, issuers in processes of their own, and what the ledger says of them."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from argon2 import PasswordHasher
from nats.aio.client import Client
from nats.aio.msg import Msg
from redis.asyncio import Redis

from tests.faults.issuer_process import IssuerProcess
from tests.faults.proxy import Proxy
from tests.support.flushed import flushed
from tocsin_issuer.core.jti_allocator import JtiAllocator
from tocsin_issuer.data_dir import DataDir
from tocsin_issuer.embedded import EmbeddedNats, EmbeddedValkey
from tocsin_issuer.keys import ceremony, kek
from tocsin_issuer.keys.key_store import KeyStore
from tocsin_issuer.keys.signer import PrivateKeySigner
from tocsin_issuer.service_file import render_service_file
from tocsin_issuer.store import names
from tocsin_issuer.store.connection import connect as connect_redis
from tocsin_issuer.store.passwords import Passwords
from tocsin_issuer.store.refresh_token import new_sid
from tocsin_issuer.store.users import UserStore
from tocsin_revocation_bus.core.replica import Replica
from tocsin_revocation_bus.core.trust import PinnedRoots
from tocsin_revocation_bus.jetstream.connection import BusAddress
from tocsin_revocation_bus.jetstream.connection import connect as connect_bus
from tocsin_revocation_bus.jetstream.replay import Replayed, replay
from tocsin_schemas import base64url, jws, strict_json
from tocsin_schemas.claims import ACCESS_TOKEN_TYP
from tocsin_schemas.errors import AgentStale, TokenRejected
from tocsin_schemas.events import Event, SessionsRevoked
from tocsin_schemas.keyset import Keyset, Policy
from tocsin_schemas.subjects import EDGE_HEARTBEAT
from tocsin_verifier_agent import VerifierAgent

ISSUER = "https://issuer.example"
AUDIENCE = "orders"
PASSWORD = "a password for tests"
POLICY = Policy(lease_ms=3000, heartbeat_ms=200)
TAKEOVER_S = 3 * POLICY.heartbeat_ms / 1000 + 2
PATIENCE_S = 30.0


@dataclass(frozen=True)
class Answer:
    """What a client was told; a status of 0 is a connection that broke."""

    status: int
    members: dict[str, str]

    @property
    def accepted(self) -> bool:
        """Whether it was promised."""
        return self.status in (200, 202)


@dataclass
class Stack:
    """What a test may touch."""

    folder: Path
    nats: EmbeddedNats
    valkey: EmbeddedValkey
    keyset: Keyset
    signer: PrivateKeySigner
    http: httpx.AsyncClient
    issuers: dict[str, IssuerProcess] = field(default_factory=dict)
    allocator: JtiAllocator = field(default_factory=lambda: JtiAllocator(os.urandom))

    # --- issuers --------------------------------------------------------------------------------

    async def issuer(
        self, name: str = "a", clock_shift_s: float = 0.0, forgetful: bool = False
    ) -> IssuerProcess:
        """Start an issuer: the first one, another candidate, or again one that was killed. Its wall
        clock is wrong by that many seconds; one that is forgetful remembers few records.
        """
        if name not in self.issuers:
            folder = self.folder / f"issuer-{name}"
            if not folder.exists():
                shutil.copytree(self.folder / "issuer-a", folder)
            made = IssuerProcess(
                folder,
                {
                    "TOCSIN_ISSUER": ISSUER,
                    "TOCSIN_AUDIENCES": AUDIENCE,
                    "TOCSIN_NATS_CREDENTIALS_FILE": str(self.nats.core_credentials),
                },
                Proxy(self.nats.port),
                Proxy(self.valkey.port),
                self.valkey.url.replace(f":{self.valkey.port}/", ":PORT/"),
                clock_shift_s,
                forgetful,
            )
            self.issuers[name] = made
            await made.open()
        await self.issuers[name].start()
        return self.issuers[name]

    def agent(self) -> VerifierAgent:
        """A service's agent."""
        return VerifierAgent.from_file(self.folder / f"{AUDIENCE}.tocsin")

    # --- clients --------------------------------------------------------------------------------

    def token(self) -> tuple[str, str]:
        """A good token, and its session."""
        now, sid = int(time.time()), new_sid()
        claims = {
            "iss": ISSUER,
            "sub": "u_somebody",
            "aud": AUDIENCE,
            "client_id": "first-party",
            "iat": now,
            "nbf": now,
            "exp": now + 600,
            "jti": self.allocator.allocate(now, os.getpid()),
            "sid": sid,
        }
        return jws.sign_compact(claims, self.signer, ACCESS_TOKEN_TYP), sid

    async def post(
        self,
        issuer: IssuerProcess,
        path: str,
        *,
        token: str | None = None,
        json: dict[str, str] | None = None,
        data: dict[str, str] | None = None,
    ) -> Answer:
        """Ask an issuer."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        try:
            answer = await self.http.post(issuer.url + path, headers=headers, json=json, data=data)
        except httpx.TransportError:
            return Answer(0, {})
        return Answer(answer.status_code, answer.json())

    async def log_out(self, issuer: IssuerProcess, token: str) -> Answer:
        """End the session of the token."""
        return await self.post(issuer, "/v1/logout", token=token)

    async def log_in(
        self, issuer: IssuerProcess, name: str = "alice", **more: str
    ) -> dict[str, str]:
        """Log a user in; the first time, make one."""
        await self.add_user(name)
        body = {"username": name, "password": PASSWORD, **more}
        answer = await self.post(issuer, "/v1/login", json=body)
        assert answer.status == 200, answer.status
        return answer.members

    async def add_user(self, name: str, perms: Sequence[str] = ()) -> None:
        """Make a user, unless there is one of that name."""
        async with self.store() as redis:
            users = UserStore(
                redis, Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
            )
            if not await redis.exists(names.USERNAME + name):
                await users.create(name, PASSWORD, perms=perms)

    @asynccontextmanager
    async def store(self) -> AsyncIterator[Redis]:
        """A connection to Valkey, past every proxy."""
        redis = connect_redis(self.valkey.url)
        try:
            yield redis
        finally:
            await redis.aclose()

    async def refresh(self, issuer: IssuerProcess, refresh_token: str) -> Answer:
        """Use a refresh token."""
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return await self.post(issuer, "/oauth/token", data=form)

    # --- the ledger -----------------------------------------------------------------------------

    @asynccontextmanager
    async def bus(self) -> AsyncIterator[Client]:
        """A connection of the operator's."""
        address = BusAddress((self.nats.url,), self.nats.core_credentials)
        client = await connect_bus(address, name="fault matrix")
        try:
            yield client
        finally:
            await client.close()

    async def ledger(self) -> list[Replayed]:
        """The ledger as an audit reads it; it must be one intact chain."""
        roots = self.keyset.roots
        replica = Replica(ISSUER, PinnedRoots(frozenset(roots.public_keys()), roots.threshold))
        async with self.bus() as client:
            read = [one async for one in replay(client, replica)]
        assert replica.halted is None, replica.halted
        assert not replica.noise, replica.noise
        assert [one.record.n for one in read] == list(range(1, len(read) + 1))
        assert {one.record.term for one in read} == {1}
        return read

    async def events(self) -> list[Event]:
        """All events, each of which must stand there once."""
        events = [event for one in await self.ledger() for event in one.record.events]
        often = {name: n for name, n in Counter(event.id for event in events).items() if n > 1}
        assert not often, f"applied more than once: {often}"
        return events

    async def times_revoked(self, sid: str) -> int:
        """How many events revoke this session."""
        revoked = [event for event in await self.events() if isinstance(event, SessionsRevoked)]
        return sum(one.sid == sid for event in revoked for one in event.sessions)

    @asynccontextmanager
    async def heartbeats(self) -> AsyncIterator[list[tuple[float, str]]]:
        """Every heartbeat as it comes: when (``time.monotonic``), and the text."""
        heard: list[tuple[float, str]] = []

        async def hear(message: Msg) -> None:
            heard.append((time.monotonic(), message.data.decode()))

        async with self.bus() as client:
            await client.subscribe(EDGE_HEARTBEAT, cb=hear)
            await flushed(client)
            yield heard


@asynccontextmanager
async def running_stack(folder: Path, policy: Policy = POLICY, **init: Any) -> AsyncIterator[Stack]:
    """NATS, Valkey and an issuer's keys, and no issuer yet. In the main thread. ``init`` is how the
    issuer's keys differ from what :func:`ceremony.init` makes by itself.
    """
    keyset = ceremony.init(
        folder / "issuer-a", issuer=ISSUER, policy=policy, now=int(time.time()) - 1, **init
    )
    with EmbeddedNats(folder / "nats") as nats, EmbeddedValkey(folder / "valkey") as valkey:
        text = render_service_file(
            issuer=ISSUER,
            audiences=[AUDIENCE],
            thumbprints=keyset.roots.public_keys(),
            threshold=keyset.roots.threshold,
            servers=[nats.url],
            credentials=str(nats.edge_credentials),
        )
        (folder / f"{AUDIENCE}.tocsin").write_text(text)
        (folder / f"{AUDIENCE}.tocsin").chmod(0o600)
        async with httpx.AsyncClient(timeout=20) as http:
            stack = Stack(folder, nats, valkey, keyset, _token_signer(folder, keyset), http)
            try:
                yield stack
            finally:
                for issuer in stack.issuers.values():
                    await issuer.close()


def _token_signer(folder: Path, keyset: Keyset) -> PrivateKeySigner:
    """The key that the issuer signs tokens with, so that a test can mint without asking it."""
    path = folder / "issuer-a"
    store = KeyStore(DataDir(path / "keys"), kek.current(DataDir(path)))
    return store.load(next(key.kid for key in keyset.keys if key.use == "token"))


def jti_and_exp(token: str) -> tuple[str, int]:
    """What a token is revoked by."""
    claims = strict_json.loads_object(base64url.decode(token.split(".")[1]))
    return claims["jti"], claims["exp"]


async def verdict(agent: VerifierAgent, token: str) -> str:
    """What the agent says of a token once it is live: ``accepted``, or the code."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            agent.verify(token)
        except TokenRejected as rejected:
            return rejected.code
        except AgentStale:
            await asyncio.sleep(0.02)
        else:
            return "accepted"
    return f"stale: {agent.status()}"


async def comes_to(agent: VerifierAgent, token: str, wanted: str) -> None:
    """Wait for a verdict."""
    deadline = time.monotonic() + PATIENCE_S
    found = await verdict(agent, token)
    while found != wanted and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
        found = await verdict(agent, token)
    assert found == wanted
