"""FastStream: every message of a batch has a token of its own."""
# Without `from __future__ import annotations`: the handlers are closures.

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest
from faststream import Depends, Path
from faststream.nats import ConsumerConfig, DeliverPolicy, JStream, NatsBroker, PullSub

from tests.support.stack import Stack
from tests.verifier_agent.adapters.conftest import Cuttable, Tokens
from tests.verifier_agent.adapters.faststream_adapter import broker_of
from tests.verifier_agent.adapters.test_faststream import bearer, settled, started
from tocsin_verifier_agent import VerifierAgent
from tocsin_verifier_agent.faststream import TocsinMiddleware, caller, callers, require
from tocsin_verifier_agent.testing import LocalIssuer

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Batches:
    """A stream with a durable consumer, and what is published to it."""

    def __init__(self, broker: NatsBroker, name: str) -> None:
        self._broker = broker
        self._name = name

    async def publish(self, text: str, token: str | None, subject: str = "a") -> None:
        await self._broker.publish(
            text,
            f"{self._name}.{subject}",
            headers={} if token is None else bearer(token),
            stream=self._name,
            timeout=5,
        )

    async def info(self) -> tuple[int | None, int | None, int]:
        """How many are still to be delivered, and to be settled; how many deliveries there were."""
        found = await self._broker.connection.jetstream().consumer_info(self._name, self._name)
        assert found.delivered is not None
        return found.num_pending, found.num_ack_pending, found.delivered.consumer_seq

    async def until(self, expected: tuple[int, int, int]) -> None:
        """Wait for that :meth:`info`."""
        for _ in range(250):
            if await self.info() == expected:
                return
            await asyncio.sleep(0.02)
        raise AssertionError(await self.info())


@asynccontextmanager
async def consuming(
    stack: Stack,
    name: str,
    keeper: TocsinMiddleware,
    handler: Callable[..., Coroutine[Any, Any, None]],
    publish: Callable[[Batches], Coroutine[Any, Any, None]],
    count: int,
    **options: Any,
) -> AsyncIterator[Batches]:
    """A batch consumer that finds the ``count`` messages of ``publish`` in one batch.

    FastStream at times loses sight of a batch that is not full, until it comes again.
    """
    broker = broker_of(stack, keeper)
    broker.subscriber(
        name + ".{part}",
        stream=JStream(name, subjects=[f"{name}.>"], declare=False),
        durable=name,
        pull_sub=PullSub(batch_size=count, batch=True, timeout=0.5),
        deliver_policy=DeliverPolicy.ALL,
        config=ConsumerConfig(ack_wait=2),
        **options,
    )(handler)
    async with broker_of(stack) as plain:
        streams = plain.connection.jetstream()
        await streams.add_stream(name=name, subjects=[f"{name}.>"])
        try:
            batches = Batches(plain, name)
            await publish(batches)
            async with broker:
                await started(broker)
                yield batches
        finally:
            await streams.delete_stream(name)


async def test_a_good_token_admits_its_own_message_only(
    shared: Stack, live: VerifierAgent, tokens: Tokens
) -> None:
    got: list[tuple[list[str], list[str | None], str]] = []
    of_another = tokens.expiring(60)

    async def handle(texts: list[str], part: Annotated[str, Path()]) -> None:
        got.append((texts, [each.subject[:4] if each else None for each in callers()], part))

    async def publish(batches: Batches) -> None:
        await batches.publish("none", None, "theirs")
        await batches.publish("first", tokens.good)
        await batches.publish("nonsense", "nonsense")
        await batches.publish("second", of_another)
        await batches.publish("revoked", tokens.revoked)
        await batches.publish("open", None, "public")
        await batches.publish("third", tokens.good)

    keeper = TocsinMiddleware(agent=live, start_agent=False, public_subjects=["B1.public"])
    async with consuming(shared, "B1", keeper, handle, publish, 7) as batches:
        await settled(got, 1)
        mine = live.verify(tokens.good).subject[:4]
        assert got == [(["first", "second", "open", "third"], [mine, "u_ex", None, mine], "a")]
        await asyncio.sleep(0.3)
        assert await batches.info() == (0, 0, 7), "one came again"


async def test_a_batch_that_nobody_may_send_reaches_no_handler_and_no_publisher(
    shared: Stack, live: VerifierAgent
) -> None:
    got: list[list[str]] = []

    async def handle(texts: list[str]) -> None:
        got.append(texts)

    async def publish(batches: Batches) -> None:
        for text in ("a", "b", "c"):
            await batches.publish(text, "nonsense")

    keeper = TocsinMiddleware(agent=live, start_agent=False)
    async with consuming(shared, "B2", keeper, handle, publish, 3) as batches:
        await batches.until((0, 0, 3))
        assert got == []


async def test_what_nobody_can_say_comes_again(
    shared: Stack, cuttable: Cuttable, tokens: Tokens
) -> None:
    got: list[str] = []

    async def handle(texts: list[str]) -> None:
        got.extend(texts)

    async def publish(batches: Batches) -> None:
        await cuttable.cut()
        await batches.publish("later", tokens.good)
        await batches.publish("none", None)

    keeper = TocsinMiddleware(agent=cuttable.agent, start_agent=False)
    async with consuming(shared, "B3", keeper, handle, publish, 2) as batches:
        await asyncio.sleep(0.8)
        assert got == []
        await cuttable.relay.mend()
        assert await settled(got, 1) == ["later"]
        pending, unsettled, deliveries = await batches.info()
        assert (pending, unsettled) == (0, 0)
        assert deliveries >= 3, "nothing came again"


async def test_a_subject_of_a_batch_may_be_more_lenient_than_the_file(shared: Stack) -> None:
    issuer = LocalIssuer()
    token = issuer.mint()
    issuer.go_stale()
    got: list[str] = []

    async def handle(texts: list[str]) -> None:
        got.extend(texts)

    async def publish(batches: Batches) -> None:
        await batches.publish("order", token, "orders")
        await batches.publish("report", token, "reports")

    keeper = TocsinMiddleware(
        agent=issuer.agent, on_stale={"B4.reports": "accept"}, start_agent=False
    )
    async with consuming(shared, "B4", keeper, handle, publish, 2):
        assert await settled(got, 1) == ["report"]


@pytest.mark.parametrize("by_dependency", [True, False])
async def test_a_batch_has_no_one_caller(
    by_dependency: bool,
    shared: Stack,
    live: VerifierAgent,
    tokens: Tokens,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A slip of the service's author is no reason to lose messages, nor to handle them."""
    got: list[str] = []

    async def handle(texts: list[str]) -> None:
        caller()
        got.extend(texts)

    async def publish(batches: Batches) -> None:
        await batches.publish("good", tokens.good)

    name = f"B5{int(by_dependency)}"
    options = {"dependencies": [Depends(require("orders:read"))]} if by_dependency else {}
    keeper = TocsinMiddleware(agent=live, start_agent=False)
    with caplog.at_level(logging.ERROR, "tocsin.faststream"):
        async with consuming(shared, name, keeper, handle, publish, 1, **options) as batches:
            for _ in range(250):
                if "callers()" in caplog.text:
                    break
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.1)
            assert await batches.info() == (0, 1, 1)
    assert "callers()" in caplog.text
    assert got == []


async def test_outside_a_batch_there_are_no_callers() -> None:
    with pytest.raises(LookupError):
        callers()
