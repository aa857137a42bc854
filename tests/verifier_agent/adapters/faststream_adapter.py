"""The same small service behind a NATS broker."""
# Without `from __future__ import annotations`: the handlers are closures.

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from faststream import Depends
from faststream.nats import NatsBroker
from faststream.nats.security import NatsNKey

from tests.support.flushed import flushed
from tests.support.stack import Stack
from tests.verifier_agent.adapters.contract import Answer, Ask
from tocsin_verifier_agent import VerifierAgent
from tocsin_verifier_agent.faststream import TocsinMiddleware, require


def broker_of(stack: Stack, *middlewares: TocsinMiddleware) -> NatsBroker:
    credentials = NatsNKey.from_file(stack.nats.core_credentials)
    return NatsBroker(
        stack.nats.url, security=credentials, middlewares=list(middlewares), logger=None
    )


@asynccontextmanager
async def faststream(stack: Stack, agent: VerifierAgent) -> AsyncIterator[Ask]:
    keeper = TocsinMiddleware(agent=agent, start_agent=False, public_subjects=["test.healthz"])
    broker = broker_of(stack, keeper)

    @broker.subscriber("test.orders", dependencies=[Depends(require("orders:read"))])
    async def orders() -> dict[str, str]:
        return {}

    @broker.subscriber("test.admin", dependencies=[Depends(require("orders:admin"))])
    async def admin() -> dict[str, str]:
        return {}

    @broker.subscriber(
        "test.money", dependencies=[Depends(require("orders:read", max_staleness=0.0))]
    )
    async def money() -> dict[str, str]:
        return {}

    @broker.subscriber("test.healthz")
    async def healthz() -> dict[str, str]:
        return {}

    async with broker:
        await broker.start()
        await flushed(broker.connection)

        async def ask(path: str, authorization: Sequence[str]) -> Answer:
            # A NATS client sends one value per name; two differ in their letters' case.
            names = ("authorization", "Authorization")
            headers: dict[str, str] = dict(zip(names, authorization, strict=False))
            reply = await broker.request(
                b"{}", "test." + path.removeprefix("/"), headers=headers, timeout=5
            )
            members = json.loads(reply.body)
            if not members:
                return Answer(200)
            assert set(members) == {"error", "error_description", "status"}
            return Answer(members["status"], members["error_description"], members["error"])

        yield ask
