"""The examples run, on real servers."""

from __future__ import annotations

import asyncio
import json
import re
import sys

import grpc.aio  # type: ignore[import-untyped]
import httpx
import pytest
from pydantic import BaseModel

from tests.support.stack import Stack
from tests.verifier_agent.adapters.conftest import Tokens
from tests.verifier_agent.adapters.contract import FORBIDDEN
from tests.verifier_agent.adapters.faststream_adapter import broker_of
from tests.verifier_agent.adapters.grpc_adapters import grpc_answer
from tests.verifier_agent.adapters.http_adapters import http_answer
from tests.verifier_agent.adapters.processes import process, python, web_server


class Order(BaseModel):
    item: str


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("app", "forbidden"),
    [
        ("examples.flask_orders.service:app", ("DELETE", "/orders")),
        ("examples.django_orders.service:application", ("GET", "/orders/all")),
    ],
)
async def test_flask_and_django(
    app: str, forbidden: tuple[str, str], shared: Stack, tokens: Tokens
) -> None:
    def command(port: int) -> list[str]:
        return python("gunicorn", "--log-level", "critical", "--bind", f"127.0.0.1:{port}", app)

    good = {"Authorization": f"Bearer {tokens.good}"}
    async with (
        web_server(command, shared) as url,
        httpx.AsyncClient(base_url=url, timeout=10) as client,
    ):
        answer = await client.get("/orders", headers=good)
        assert (answer.status_code, answer.json()["of"][:2]) == (200, "u_")
        assert (await client.get("/orders")).status_code == 401
        assert http_answer(await client.request(*forbidden, headers=good)) == FORBIDDEN
        if "flask" in app:
            assert (await client.post("/orders", headers=good)).json()["ordered"] == "A-1003"
            async with client.stream("GET", "/orders/feed", headers=good) as feed:
                assert await anext(feed.aiter_text()) == "data: A-1001\n\n"


@pytest.mark.parametrize(
    "module", ["examples.grpc_orders.service", "examples.grpc_orders.aio_service"]
)
async def test_grpc(module: str, shared: Stack, tokens: Tokens) -> None:
    command = python(module, "127.0.0.1:0")
    metadata = [("authorization", f"Bearer {tokens.good}")]
    async with process(command, shared) as server:
        assert server.stdout is not None
        line = await server.stdout.readline()
        found = re.fullmatch(rb"port (\d+)\n", line)
        assert found is not None, line
        async with grpc.aio.insecure_channel(f"127.0.0.1:{int(found[1])}") as channel:
            call = channel.unary_unary("/orders.Orders/List")
            assert (await call(b"", metadata=metadata, timeout=10)).startswith(b"A-1001")
            assert await channel.unary_unary("/orders.Orders/Place")(b"", metadata=metadata)
            follow = channel.unary_stream("/orders.Orders/Follow")(b"", metadata=metadata)
            assert await follow.read() == b"A-1001"
            follow.cancel()
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call(b"", timeout=10)
            assert grpc_answer(refused.value).status == 401


async def test_faststream(shared: Stack, tokens: Tokens) -> None:
    command = [sys.executable, "-m", "faststream", "run", "examples.faststream_orders.service:app"]
    environment = {
        "NATS_URL": shared.nats.url,
        "NATS_CREDENTIALS": str(shared.nats.core_credentials),
    }
    async with process(command, shared, **environment) as running, broker_of(shared) as broker:

        async def place(headers: dict[str, str]) -> dict[str, object]:
            for _ in range(100):
                assert running.returncode is None
                try:
                    reply = await broker.request(
                        Order(item="bolts"), "orders.place", headers=headers, timeout=5
                    )
                    answer: dict[str, object] = json.loads(reply.body)
                    return answer
                except Exception as error:
                    if "no responders" not in str(error):
                        raise
                    await asyncio.sleep(0.1)
            raise AssertionError("the service never answers")

        good = {"authorization": f"Bearer {tokens.good}"}
        answer = await place(good)
        assert answer["ordered"] == "bolts"
        assert (await place({}))["status"] == 401
