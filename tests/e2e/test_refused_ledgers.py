"""What an agent must not go live on, and what it says of it, once."""

import asyncio
import dataclasses
import logging

import pytest

from tests.e2e.conftest import Stack
from tests.support.flushed import flushed
from tests.support.rejected import rejected
from tocsin_issuer.keys.signer import generate
from tocsin_revocation_bus.core.replica import AgentState
from tocsin_revocation_bus.core.trust import PinnedRoots
from tocsin_revocation_bus.jetstream.connection import BusAddress, connect
from tocsin_schemas import record
from tocsin_schemas.errors import AgentStale
from tocsin_schemas.events import RevokedSession, SessionsRevoked
from tocsin_verifier_agent import AgentConfig, VerifierAgent, agent_file


def config_of(stack: Stack) -> AgentConfig:
    path = stack.folder / "orders.tocsin"
    parsed = agent_file.read(path)
    return AgentConfig(
        issuer=parsed.issuer,
        audiences=frozenset(parsed.audiences),
        pinned=parsed.pinned(),
        address=parsed.address(path.parent),
    )


async def refused(
    stack: Stack, agent: VerifierAgent, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    login = await stack.log_in()
    with caplog.at_level(logging.INFO, logger="tocsin.agent"):
        assert not await agent.run_in_loop(timeout=1.5)
    try:
        status = agent.status()
        assert (status.state, status.reason) == (AgentState.REFUSED, reason)
        with pytest.raises(AgentStale) as stale:
            agent.verify(login["access_token"])
        assert stale.value.code == reason
        told = [one.getMessage() for one in caplog.records if reason in one.getMessage()]
        assert len(told) == 1
        assert login["access_token"] not in caplog.text
    finally:
        await agent.leave_loop()


async def test_a_wrong_root(stack: Stack, caplog: pytest.LogCaptureFixture) -> None:
    pinned = PinnedRoots(frozenset({generate("RS256").kid}))
    agent = VerifierAgent(dataclasses.replace(config_of(stack), pinned=pinned))
    await refused(stack, agent, "root_mismatch", caplog)


async def test_a_ledger_of_another_issuer(stack: Stack, caplog: pytest.LogCaptureFixture) -> None:
    agent = VerifierAgent(dataclasses.replace(config_of(stack), issuer="https://elsewhere.example"))
    await refused(stack, agent, "issuer", caplog)


async def test_garbage_in_the_stream_is_passed_over(stack: Stack) -> None:
    """Bytes that are no record of ours: agents count them, and the sequencer goes on."""
    forger = generate("RS256")
    forged = record.build(
        iss=stack.development.service.config.iss,
        iat=1,
        txn="t",
        term=1,
        n=2,
        prev="A" * 43,
        carried=[
            SessionsRevoked(
                id="e", reason="r", initiator="admin", sessions=(RevokedSession("s", 2),)
            )
        ],
        signer=forger,
    )
    core = BusAddress((stack.nats.url,), stack.nats.core_credentials)
    client = await connect(core, name="test")
    login = await stack.log_in()
    async with stack.agent() as agent:
        for text in (b"garbage", forged.encode(), b"\xff\x00", b"{}"):
            await client.request("tocsin.ledger.sessions-revoked", text, timeout=5)
        answer = await stack.post("/v1/logout", login["access_token"])
        assert answer.status_code in (200, 202)
        # The sequencer lost its fence to the garbage: it takes over again after 3 H of silence.
        code = "accepted"
        for _ in range(5):
            if (code := await rejected(agent, login["access_token"])) != "accepted":
                break
        assert code == "session_revoked"
        assert agent.status().state is AgentState.LIVE
        assert agent.replica.noise.total() >= 4
        assert agent.replica.state.hash() == stack.development.service.replica.state.hash()
    await client.close()


async def test_a_fork_that_the_ledger_key_signed_is_kept_as_evidence(stack: Stack) -> None:
    service = stack.development.service
    head = service.replica.head
    assert head is not None
    from tocsin_issuer.data_dir import DataDir
    from tocsin_issuer.keys import kek
    from tocsin_issuer.keys.key_store import KeyStore

    folder = stack.folder / ".tocsin" / "issuer"
    opening = kek.current(DataDir(folder))
    ledger_kid = next(key.kid for key in service.keyset.keys if key.use == "ledger")
    signer = KeyStore(DataDir(folder / "keys"), opening).load(ledger_kid)
    login = await stack.log_in()
    async with stack.agent() as agent:
        await stack.post("/v1/logout", login["access_token"])
        forged = record.build(
            iss=service.config.iss,
            iat=head.iat,
            txn="fork",
            term=head.term,
            n=head.n + 1,
            prev=head.hash,
            carried=[
                SessionsRevoked(
                    id="e", reason="r", initiator="admin", sessions=(RevokedSession("s", 2),)
                )
            ],
            signer=signer,
        )
        core = BusAddress((stack.nats.url,), stack.nats.core_credentials)
        client = await connect(core, name="test")
        await client.publish("edge.ledger.sessions-revoked", forged.encode())
        await flushed(client)
        await asyncio.sleep(0.3)
        assert agent.status().reason == "fork"
        assert agent.replica.evidence is not None
        assert agent.replica.evidence[1] == forged
        with pytest.raises(AgentStale):
            agent.verify(login["access_token"])
        await client.close()
