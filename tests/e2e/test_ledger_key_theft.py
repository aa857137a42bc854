"""The ledger key is stolen: what the thief can do before and after its replacement (docs/keys.md).

The whole procedure is walked through in tests/faults/test_stolen_ledger_key.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from msgspec import structs
from nats.aio.client import Client

from tests.e2e.ceremonies import hold_one
from tests.e2e.conftest import LEASE_S, Stack
from tests.support.rejected import rejected
from tocsin_issuer.data_dir import DataDir
from tocsin_issuer.keys import kek
from tocsin_issuer.keys.key_store import KeyStore
from tocsin_issuer.keys.signer import PrivateKeySigner
from tocsin_revocation_bus.clocks import lease_clock
from tocsin_revocation_bus.core.chain import Head
from tocsin_revocation_bus.core.replica import AgentState
from tocsin_revocation_bus.jetstream.connection import BusAddress, connect
from tocsin_schemas import heartbeat, record
from tocsin_schemas.errors import AgentStale
from tocsin_schemas.events import AllRevokedBefore
from tocsin_schemas.heartbeat import Heartbeat
from tocsin_schemas.subjects import EDGE_HEARTBEAT
from tocsin_verifier_agent import VerifierAgent


class Thief:
    """Has the ledger key, and may write to NATS as the issuer does: the worst case."""

    def __init__(self, key: PrivateKeySigner, client: Client, iss: str) -> None:
        self.key = key
        self.client = client
        self.iss = iss

    async def heard(self, stack: Stack) -> Heartbeat:
        """The newest heartbeat of the real sequencer."""
        subscription = await self.client.subscribe(EDGE_HEARTBEAT)
        try:
            while True:
                message = await subscription.next_msg(timeout=5)
                trusted = stack.development.service.replica.trust.ledger_keys
                return heartbeat.verify(message.data.decode(), dict(trusted))
        finally:
            await subscription.unsubscribe()

    async def beat(self, real: Heartbeat) -> None:
        """A heartbeat as the real one would be by now."""
        forged = structs.replace(real, issuer_time=lease_clock(), utc=int(time.time() * 1000))
        await self.client.publish(EDGE_HEARTBEAT, heartbeat.sign(forged, self.key).encode())
        await self.client.flush()

    async def append(self, head: Head) -> None:
        """A record that fits the chain: everybody is logged out."""
        now = int(time.time())
        text = record.build(
            iss=self.iss,
            iat=max(now, head.iat),
            txn="theft",
            term=head.term,
            n=head.n + 1,
            prev=head.hash,
            carried=[
                AllRevokedBefore(
                    id="e", reason="theft", initiator="admin", before=now, until=now + 4000
                )
            ],
            signer=self.key,
        )
        await self.client.request("tocsin.ledger.all-revoked-before", text.encode(), timeout=5)


def ledger_kid(stack: Stack) -> str:
    keyset = stack.development.service.replica.trust.keyset
    assert keyset is not None
    (kid,) = (key.kid for key in keyset.keys if key.use == "ledger")
    return kid


@pytest.fixture
async def thief(stack: Stack) -> AsyncIterator[Thief]:
    folder = stack.folder / ".tocsin" / "issuer"
    store = KeyStore(DataDir(folder / "keys"), kek.current(DataDir(folder)))
    client = await connect(BusAddress((stack.nats.url,), stack.nats.core_credentials), name="thief")
    yield Thief(store.load(ledger_kid(stack)), client, stack.development.service.config.iss)
    await client.close()


async def replace_the_ledger_key(stack: Stack) -> None:
    """Steps 2 to 4 of the procedure: a keyset with another key, then the old one revoked."""
    stolen = ledger_kid(stack)
    refused = await stack.admin("POST", f"/admin/keys/{stolen}/revoke")
    assert (refused.status_code, refused.json()["code"]) == (409, "last_ledger_key")
    await hold_one(stack, {"new_ledger_key": True})
    answer = await stack.admin("POST", f"/admin/keys/{stolen}/revoke")
    assert answer.status_code == 200, answer.text
    assert ledger_kid(stack) != stolen


async def goes_on(stack: Stack, agent: VerifierAgent) -> None:
    """A login is accepted, and a logout ends it."""
    login = await stack.log_in()
    agent.verify(login["access_token"])
    answer = await stack.post("/v1/logout", login["access_token"])
    assert answer.status_code in (200, 202)
    code = "accepted"
    for _ in range(4):  # after garbage in the stream the sequencer takes over again, in 3 H
        code = await rejected(agent, login["access_token"])
        if code != "accepted":
            break
    assert code == "session_revoked"
    assert agent.status().state is AgentState.LIVE


async def test_agents_go_on_and_the_thief_does_not(stack: Stack, thief: Thief) -> None:
    before = await stack.log_in()
    async with stack.agent() as agent:
        agent.verify(before["access_token"])
        await replace_the_ledger_key(stack)
        await goes_on(stack, agent)
        agent.verify(before["access_token"])  # token keys are others, and sessions are kept
        for _ in range(2):
            head = stack.development.service.replica.head
            assert head is not None
            await thief.append(head)
            await goes_on(stack, agent)
            agent.verify(before["access_token"])
        refused = agent.replica.noise["record_signature"]
        assert refused >= 2
        assert agent.replica.halted is None
        assert agent.replica.state.hash() == stack.development.service.replica.state.hash()
    async with stack.agent() as fresh:  # through the whole ledger, the thief's records in it
        await goes_on(stack, fresh)
        fresh.verify(before["access_token"])


@pytest.mark.parametrize("replaced", [False, True], ids=["before", "after"])
async def test_stolen_heartbeats_prove_nothing(stack: Stack, thief: Thief, replaced: bool) -> None:
    """The issuer is silenced, and the thief tells the agents that all is well."""
    login = await stack.log_in()
    async with stack.agent() as agent:
        if replaced:
            await replace_the_ledger_key(stack)
        await goes_on(stack, agent)
        real = await thief.heard(stack)
        await stack.development.service.stop()
        deadline = time.monotonic() + 2 * LEASE_S
        while time.monotonic() < deadline:
            await thief.beat(real)
            await asyncio.sleep(0.1)
        if replaced:
            with pytest.raises(AgentStale):
                agent.verify(login["access_token"])
        else:  # that is what the procedure is for
            agent.verify(login["access_token"])
