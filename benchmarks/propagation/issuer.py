"""A real issuer in this process, on real servers, with a clock on its PubAcks."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
import tomllib
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from nats.aio.client import Client

from tocsin_issuer.data_dir import DataDir
from tocsin_issuer.development import Development, DevelopmentOptions
from tocsin_issuer.embedded import EmbeddedNats, EmbeddedValkey
from tocsin_issuer.embedded.port import find_free
from tocsin_issuer.keys import kek
from tocsin_issuer.keys.key_store import KeyStore
from tocsin_issuer.keys.signer import PrivateKeySigner
from tocsin_issuer.sequencing import appender
from tocsin_issuer.settings import ExternalServers
from tocsin_revocation_bus.jetstream import fenced_publish
from tocsin_revocation_bus.jetstream.fenced_publish import PubAck, Refusal
from tocsin_schemas.keyset import Policy
from tocsin_schemas.subjects import HEARTBEAT

AUDIENCE = "orders"
_QUIET_NS = (150_000_000, 800_000_000)  # after a heartbeat's PubAck


@dataclass(frozen=True, slots=True)
class Commit:
    """A record of the ledger, on CLOCK_MONOTONIC in nanoseconds."""

    published: int
    acked: int
    size: int


class PubAckClock:
    """Wraps the sequencer's own publish: the same call, with a look at the clock around it."""

    def __init__(self) -> None:
        self._beaten = asyncio.Event()
        self._last_beat = 0
        self.commits: asyncio.Queue[Commit] = asyncio.Queue()

    async def publish(
        self,
        client: Client,
        subject: str,
        text: str,
        *,
        message_id: str,
        expected_seq: int,
        ttl_s: int | None,
    ) -> PubAck | Refusal:
        """As :func:`fenced_publish.publish`."""
        published = time.monotonic_ns()
        result = await fenced_publish.publish(
            client,
            subject,
            text,
            message_id=message_id,
            expected_seq=expected_seq,
            ttl_s=ttl_s,
        )
        acked = time.monotonic_ns()
        if subject == HEARTBEAT:
            self._last_beat = acked
            self._beaten.set()
        elif isinstance(result, PubAck):
            self.commits.put_nowait(Commit(published, acked, len(text)))
        return result

    def beat_between(self, start: int, end: int) -> bool:
        """Whether agents had a heartbeat to take in then, as far as the last heartbeat tells."""
        return start - _QUIET_NS[0] < self._last_beat < end

    async def quiet(self) -> None:
        """Wait for a time that is clear of heartbeats: the last is done, the next not yet due."""
        while time.monotonic_ns() - self._last_beat > _QUIET_NS[1]:
            self._beaten.clear()
            await self._beaten.wait()
        since = time.monotonic_ns() - self._last_beat
        await asyncio.sleep(max(0, _QUIET_NS[0] - since) / 1e9)


class MeasuredIssuer:
    """What the fan-out is measured with."""

    def __init__(
        self, development: Development, nats: EmbeddedNats, folder: Path, http: httpx.AsyncClient
    ) -> None:
        self.nats = nats
        self.clock = PubAckClock()
        self.service_file = folder / f"{AUDIENCE}.tocsin"
        self.name = development.service.config.iss
        self._development = development
        self._folder = folder
        self._http = http
        self._operator = ""
        self._admin: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    def token_signer(self) -> PrivateKeySigner:
        """The key that signs tokens now, so that tokens need no login."""
        folder = self._folder / ".tocsin" / "issuer"
        store = KeyStore(DataDir(folder / "keys"), kek.current(DataDir(folder)))
        trusted = self._development.service.replica.trust.token_keys
        return next(key for key in map(store.load, store.kids()) if key.kid in trusted)

    async def log_in_operator(self) -> None:
        """Get the token that :meth:`revoke` shows; it is good for ten minutes."""
        access = tomllib.loads((self._folder / ".tocsin" / "admin.toml").read_text())
        answer = await self._http.post(
            f"{self._development.public_url}/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(access["client_id"], access["client_secret"]),
        )
        answer.raise_for_status()
        self._operator = answer.json()["access_token"]

    async def revoke(self, token: str) -> tuple[int, Commit]:
        """Revoke one token over HTTP; return when that was asked, and its record's commit.

        The answer is left for :meth:`answered`: a client that reads it, in this process, would
        take its time from the agents.
        """
        while not self.clock.commits.empty():
            self.clock.commits.get_nowait()  # the issuer's own: the first record, a tick
        if self._admin is None:
            port = urlsplit(self._development.internal_url).port
            self._admin = await asyncio.open_connection("127.0.0.1", port)
        body = json.dumps({"by": "token", "token": token}).encode()
        head = (
            "POST /admin/revocations HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: Bearer {self._operator}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        asked = time.monotonic_ns()
        self._admin[1].write(head.encode() + body)
        return asked, await self.clock.commits.get()

    async def answered(self) -> None:
        """Read the answer to the last :meth:`revoke`.

        Raises:
            SystemExit: the revocation was not committed.
        """
        if self._admin is None:
            return
        reader, _ = self._admin
        head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").lower()
        length = int(head.partition("content-length:")[2].split("\r\n")[0])
        body = await reader.readexactly(length)
        if not head.startswith("http/1.1 200 "):
            raise SystemExit(f"the issuer does not commit: {head.splitlines()[0]} {body[:200]!r}")

    def close(self) -> None:
        """Close the connection that revocations are asked for on."""
        if self._admin is not None:
            self._admin[1].close()


@asynccontextmanager
async def measured_issuer() -> AsyncIterator[MeasuredIssuer]:
    """Start everything in a new folder, and end it."""
    with ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="tocsin-bench-")))
        nats = closing.enter_context(EmbeddedNats(folder / "nats"))
        valkey = closing.enter_context(EmbeddedValkey(folder / "valkey"))
        external = ExternalServers(
            nats.url, nats.core_credentials, nats.edge_credentials, valkey.url
        )
        options = DevelopmentOptions(
            folder=folder / ".tocsin",
            out=folder,
            services=(AUDIENCE,),
            public_port=find_free(),
            internal_port=find_free(),
            policy=Policy(),
        )
        development = closing.enter_context(Development(options, external))
        http = httpx.AsyncClient(timeout=10)
        issuer = MeasuredIssuer(development, nats, folder, http)
        original = vars(appender)["publish"]
        setattr(appender, "publish", issuer.clock.publish)  # noqa: B010 (it is not exported)
        try:
            await development.service.start()
            await development.first_start()
            development.write_service_files()
            development.service.open()
            await issuer.log_in_operator()
            yield issuer
        finally:
            setattr(appender, "publish", original)  # noqa: B010
            issuer.close()
            await http.aclose()
            await development.service.stop()
