"""Clients of an embedded NATS server that keep what the server reproaches them with."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeout

from tests.support.flushed import flushed
from tocsin_issuer.embedded import EmbeddedNats
from tocsin_schemas.subjects import DIRECT_GET, EDGE_SUBJECTS, LEDGER_STREAM, LEDGER_SUBJECTS

LEDGER_CONFIG = {
    "name": LEDGER_STREAM,
    "subjects": [LEDGER_SUBJECTS],
    "storage": "file",
    "num_replicas": 1,
    "deny_delete": True,
    "deny_purge": True,
    "allow_direct": True,
    "allow_msg_ttl": True,
    "republish": {"src": LEDGER_SUBJECTS, "dest": EDGE_SUBJECTS},
}

SILENCE = 0.3
"""Seconds after which a message that could come on loopback has come."""


class BusClient:
    """One connection, and the errors that the server has sent on it."""

    def __init__(self, connection: Client) -> None:
        self.connection = connection
        self.errors: asyncio.Queue[Exception] = asyncio.Queue()
        self.reconnected = asyncio.Event()

    async def on_error(self, error: Exception) -> None:
        self.errors.put_nowait(error)

    async def on_reconnect(self) -> None:
        self.reconnected.set()

    async def publish(self, subject: str, payload: bytes = b"", **options: Any) -> None:
        """Publish, and return when the server has dealt with it."""
        await self.connection.publish(subject, payload, **options)
        await flushed(self.connection)

    async def subscribe(self, subject: str) -> Subscription:
        """Subscribe, and return when the server knows."""
        subscription = await self.connection.subscribe(subject)
        await flushed(self.connection)
        return subscription

    async def api(self, subject: str, request: dict[str, Any] | None = None) -> dict[str, Any]:
        """One call of the JetStream API, by hand: the tests declare nothing through our code."""
        payload = json.dumps(request).encode() if request is not None else b""
        answer = await self.connection.request(f"$JS.API.{subject}", payload, timeout=10)
        fields: dict[str, Any] = json.loads(answer.data)
        return fields

    async def declare_ledger(self) -> None:
        answer = await self.api(f"STREAM.CREATE.{LEDGER_STREAM}", LEDGER_CONFIG)
        assert "error" not in answer, answer

    async def append(self, kind: str, payload: bytes) -> int:
        """Append to the ledger and return the acknowledged sequence."""
        answer = await self.connection.request(f"tocsin.ledger.{kind}", payload, timeout=10)
        sequence: int = json.loads(answer.data)["seq"]
        return sequence

    async def ledger_state(self) -> dict[str, Any]:
        """What the stream holds: messages, sequences and consumers."""
        answer = await self.api(f"STREAM.INFO.{LEDGER_STREAM}")
        state: dict[str, Any] = answer["state"]
        return {key: state[key] for key in ("messages", "last_seq", "consumer_count")}

    async def read_ledger(self) -> list[Msg]:
        """A batched direct get from the beginning: all messages before the end-of-batch mark."""
        inbox = self.connection.new_inbox()
        subscription = await self.subscribe(inbox)
        request = json.dumps({"seq": 1, "batch": 100, "next_by_subj": ">"}).encode()
        await self.connection.publish(DIRECT_GET, request, reply=inbox)
        messages: list[Msg] = []
        while True:
            message = await subscription.next_msg(timeout=10)
            if (message.headers or {}).get("Status") == "204":
                await subscription.unsubscribe()
                return messages
            messages.append(message)

    async def denied(self) -> str:
        """What the server refused: nats-py tells of it only here, and after the flush."""
        async with asyncio.timeout(10):
            return str(await self.errors.get()).lower()


async def connect(
    server: EmbeddedNats, credentials: Path | None, *, persistent: bool = True
) -> BusClient:
    """A client that comes back after a restart, or one that gives up at the first refusal."""
    connection = Client()
    client = BusClient(connection)
    try:
        await connection.connect(
            server.url,
            nkeys_seed=str(credentials) if credentials is not None else None,
            error_cb=client.on_error,
            reconnected_cb=client.on_reconnect,
            allow_reconnect=persistent,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0,
            ping_interval=5,
            max_outstanding_pings=2,
            connect_timeout=10,
        )
    except NatsError:
        await connection.close()  # nats-py leaves the socket of a refused login open
        raise
    return client


async def received(subscription: Subscription, wait: float = SILENCE) -> list[Msg]:
    """All that arrives until nothing has come for `wait` seconds."""
    messages: list[Msg] = []
    while True:
        try:
            messages.append(await subscription.next_msg(timeout=wait))
        except NatsTimeout:
            return messages
