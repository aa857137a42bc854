"""An issuer on a real server: it appends, beats and tells the time when a test says so."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg

from tests.support.ledger import (
    DAY,
    LEDGER_KEY,
    TOKEN_KEY,
    Ledger,
    key_entry,
    pinned,
    revoke_token,
    signed_keyset,
)
from tests.support.tokens import ISSUER
from tocsin_issuer.embedded import EmbeddedNats
from tocsin_revocation_bus.clocks import lease_clock
from tocsin_revocation_bus.core.replica import Replica, Status
from tocsin_revocation_bus.jetstream.connection import BusAddress, connect
from tocsin_revocation_bus.jetstream.follower import Follower
from tocsin_revocation_bus.jetstream.streams import declare_ledger
from tocsin_schemas.keyset import Policy
from tocsin_schemas.subjects import CLOCK_SYNC, HEARTBEAT

LEASE_S = 2.0
CLOCK = "clock-aaaaaaaaaaaa"


class LedgerOfNow(Ledger):
    """A ledger whose times are those of the machine."""

    def __init__(self) -> None:
        now = int(time.time())
        times = {"publish_at": now - DAY, "sign_from": now - DAY}
        times |= {"sign_until": now + DAY, "verify_until": now + DAY}
        keys = (
            key_entry(LEDGER_KEY, "ledger", **times),
            key_entry(TOKEN_KEY, "token", **times),
        )
        policy = Policy(lease_ms=int(LEASE_S * 1000), heartbeat_ms=200)
        super().__init__(
            signed_keyset(issued_at=now - 1, expires_at=now + DAY, policy=policy, keys=keys)
        )

    def draft(self, *carried: Any, **changes: Any) -> str:
        return super().draft(*carried, **{"iat": int(time.time()), **changes})

    def beat(self, now: int | None = None, **changes: Any) -> str:
        return super().beat(
            lease_clock() if now is None else now,
            **{"utc": int(time.time() * 1000), "clock_id": CLOCK, **changes},
        )


class TestIssuer:
    """``asked`` counts the requests for the time; ``clock_id`` names the clock now in use.

    The time is told after ``think_s`` seconds.
    """

    __test__ = False

    def __init__(self, client: Client, nats: EmbeddedNats) -> None:
        self.nats = nats
        self.client = client
        self.ledger = LedgerOfNow()
        self.clock_id = CLOCK
        self.asked = 0
        self.think_s = 0.0

    async def start(self) -> None:
        await declare_ledger(self.client)
        await self.client.subscribe(CLOCK_SYNC, cb=self._tell)
        await self.publish("record", self.ledger.texts[0])

    async def publish(self, kind: str, text: str) -> int:
        headers = {"Nats-TTL": "60s"} if kind == "heartbeat" else None
        answer = await self.client.request(
            f"tocsin.ledger.{kind}", text.encode(), timeout=5, headers=headers
        )
        sequence: int = json.loads(answer.data)["seq"]
        return sequence

    async def revoke(self, jti: str) -> None:
        text = self.ledger.append(revoke_token(jti, until=int(time.time()) + DAY))
        await self.publish("record", text)

    async def beat(self) -> None:
        assert HEARTBEAT == "tocsin.ledger.heartbeat"
        await self.publish("heartbeat", self.ledger.beat(clock_id=self.clock_id))

    async def _tell(self, message: Msg) -> None:
        self.asked += 1
        members = {"nonce": json.loads(message.data)["nonce"], "clock_id": self.clock_id}
        await asyncio.sleep(self.think_s)
        text = self.ledger.reply(lease_clock(), utc=int(time.time() * 1000), **members)
        await message.respond(text.encode())

    def follower(self, changes: list[Status] | None = None) -> Follower:
        """A new agent's."""
        return Follower(
            Replica(ISSUER, pinned()),
            BusAddress((self.nats.url,), self.nats.edge_credentials),
            name="agent",
            on_change=None if changes is None else changes.append,
        )


async def core_client(nats: EmbeddedNats) -> Client:
    return await connect(BusAddress((nats.url,), nats.core_credentials), name="core")
