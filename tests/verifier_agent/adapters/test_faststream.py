"""FastStream: refused messages reach no handler, and what becomes of them."""
# Without `from __future__ import annotations`: the handlers are closures.

import asyncio
import json
from collections.abc import Mapping
from typing import Annotated, Any

import pytest
from faststream import AckPolicy, Depends
from faststream.nats import ConsumerConfig, DeliverPolicy, JStream, NatsBroker

from tests.support.flushed import flushed
from tests.support.stack import Stack
from tests.verifier_agent.adapters.conftest import Cuttable, Tokens
from tests.verifier_agent.adapters.faststream_adapter import broker_of
from tocsin_verifier_agent import Verified, VerifierAgent
from tocsin_verifier_agent.faststream import TocsinMiddleware, require
from tocsin_verifier_agent.testing import LocalIssuer

pytestmark = pytest.mark.asyncio(loop_scope="module")


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def started(broker: NatsBroker) -> None:
    """Return when the server knows its subscriptions."""
    await broker.start()
    await flushed(broker.connection)


async def settled(found: list[Any], count: int) -> list[Any]:
    for _ in range(250):
        if len(found) >= count:
            break
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)
    return found


async def test_a_refused_message_reaches_no_handler_and_no_publisher(
    shared: Stack, live: VerifierAgent, tokens: Tokens
) -> None:
    called: list[str] = []
    published: list[object] = []
    broker = broker_of(shared, TocsinMiddleware(agent=live, start_agent=False))

    @broker.subscriber("t1.in", dependencies=[Depends(require("orders:read"))])
    @broker.publisher("t1.out")
    async def handle(text: str) -> str:
        called.append(text)
        return f"did {text}"

    async with broker, broker_of(shared) as plain:
        await started(broker)
        out = await plain.connection.subscribe("t1.out")
        for token in (tokens.revoked, "nonsense", tokens.good):
            reply = await plain.request("work", "t1.in", headers=bearer(token), timeout=5)
            published.append(json.loads(reply.body) if reply.body[:1] == b"{" else reply.body)
        await plain.publish("unasked", "t1.in", headers=bearer("nonsense"))
        await plain.publish("unasked, good", "t1.in", headers=bearer(tokens.good))
        await settled(called, 2)
        got = [(await out.next_msg(timeout=10)).data for _ in range(2)]
        assert out.pending_msgs == 0
    refused = {
        "error": "invalid_token",
        "error_description": "the access token is not valid",
        "status": 401,
    }
    assert published == [refused, refused, b"did work"]
    assert called == ["work", "unasked, good"]
    assert got == [b"did work", b"did unasked, good"]


async def test_a_handler_knows_its_caller_and_requests_of_its_own_are_let_through(
    shared: Stack, live: VerifierAgent, tokens: Tokens
) -> None:
    broker = broker_of(shared, TocsinMiddleware(agent=live, start_agent=False))
    async with broker_of(shared) as other:

        @other.subscriber("t2.stock")
        async def stock() -> str:
            return "4000"  # a reply carries no token

        @broker.subscriber("t2.in")
        async def handle(caller: Annotated[Verified, Depends(require("orders:read"))]) -> str:
            reply = await broker.request("", "t2.stock", timeout=5)
            return f"{caller.subject[:2]} {reply.body.decode()}"

        await started(other)
        async with broker:
            await started(broker)
            reply = await other.request("", "t2.in", headers=bearer(tokens.good), timeout=5)
            assert reply.body == b"u_ 4000"


async def test_input_is_looked_at_after_the_token(
    shared: Stack, live: VerifierAgent, tokens: Tokens
) -> None:
    """Whoever has no token learns nothing about what would be valid."""
    broker = broker_of(shared, TocsinMiddleware(agent=live, start_agent=False))

    @broker.subscriber("t3.in", dependencies=[Depends(require("orders:read"))])
    async def handle(number: int) -> int:
        return number

    async with broker, broker_of(shared) as plain:
        await started(broker)
        reply = await plain.request("not a number", "t3.in", timeout=5)
        assert json.loads(reply.body)["status"] == 401
        reply = await plain.request("3", "t3.in", headers=bearer(tokens.good), timeout=5)
        assert reply.body == b"3"


async def test_jetstream_rejects_the_bad_for_good_and_brings_the_others_again(
    shared: Stack, cuttable: Cuttable, tokens: Tokens
) -> None:
    called: list[str] = []
    keeper = TocsinMiddleware(agent=cuttable.agent, start_agent=False)
    broker = broker_of(shared, keeper)
    stream = JStream("T4", subjects=["t4.>"], declare=False)

    @broker.subscriber(
        "t4.in",
        stream=stream,
        durable="t4",
        pull_sub=True,
        deliver_policy=DeliverPolicy.ALL,
        config=ConsumerConfig(ack_wait=30),
    )
    async def handle(text: str) -> None:
        called.append(text)

    async with broker_of(shared) as plain:
        await plain.connection.jetstream().add_stream(name="T4", subjects=["t4.>"])
        async with broker:
            await started(broker)
            await _publish(plain, "bad", bearer("nonsense"))
            await _publish(plain, "good", bearer(tokens.good))
            assert await settled(called, 1) == ["good"]
            await cuttable.cut()
            await _publish(plain, "later", bearer(tokens.good))
            await asyncio.sleep(0.3)
            assert called == ["good"]
            await cuttable.relay.mend()
            assert await settled(called, 2) == ["good", "later"]
            info = await plain.connection.jetstream().consumer_info("T4", "t4")
            assert info.delivered is not None
            assert (info.num_pending, info.num_ack_pending) == (0, 0)
            assert info.delivered.consumer_seq >= 4, "nothing came again"
        await plain.connection.jetstream().delete_stream("T4")


async def test_a_refused_message_is_settled_where_the_handler_would_acknowledge(
    shared: Stack, live: VerifierAgent
) -> None:
    broker = broker_of(shared, TocsinMiddleware(agent=live, start_agent=False))
    broker.subscriber(
        "t6.in",
        stream=JStream("T6", subjects=["t6.>"], declare=False),
        durable="t6",
        pull_sub=True,
        ack_policy=AckPolicy.MANUAL,
        config=ConsumerConfig(ack_wait=1),
    )(lambda: None)
    async with broker_of(shared) as plain:
        streams = plain.connection.jetstream()
        await streams.add_stream(name="T6", subjects=["t6.>"])
        async with broker:
            await started(broker)
            await plain.publish("bad", "t6.in", stream="T6", timeout=5)
            await asyncio.sleep(1.5)
            info = await streams.consumer_info("T6", "t6")
            assert info.delivered is not None
            assert (info.num_ack_pending, info.delivered.consumer_seq) == (0, 1)
        await streams.delete_stream("T6")


async def _publish(broker: NatsBroker, text: str, headers: Mapping[str, str]) -> None:
    await broker.publish(text, "t4.in", headers=dict(headers), stream="T4", timeout=5)


async def test_a_subject_may_be_more_lenient_than_the_file(shared: Stack) -> None:
    issuer = LocalIssuer()
    keeper = TocsinMiddleware(
        agent=issuer.agent, on_stale={"t5.reports": "accept"}, start_agent=False
    )
    broker = broker_of(shared, keeper)
    for subject in ("t5.reports", "t5.orders"):
        broker.subscriber(subject, dependencies=[Depends(require("a"))])(lambda: "done")
    demanding = broker.subscriber("t5.money", dependencies=[Depends(require("a", max_staleness=9))])
    demanding(lambda: "done")
    token = bearer(issuer.mint(perms=["a"]))

    async def ask(plain: NatsBroker, subject: str) -> bytes:
        return bytes((await plain.request("", subject, headers=token, timeout=5)).body)

    async with broker, broker_of(shared) as plain:
        await started(broker)
        fresh = [await ask(plain, f"t5.{name}") for name in ("reports", "orders", "money")]
        issuer.go_stale()
        stale = [await ask(plain, f"t5.{name}") for name in ("reports", "orders", "money")]
    assert fresh == [b"done"] * 3
    assert stale[0] == b"done"
    assert [json.loads(body)["status"] for body in stale[1:]] == [503, 503]
