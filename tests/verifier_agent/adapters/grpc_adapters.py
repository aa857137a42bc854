"""The same small service behind `grpc.server` and `grpc.aio.server`, in bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]

from tests.verifier_agent.adapters.contract import Answer, Ask
from tocsin_verifier_agent import VerifierAgent
from tocsin_verifier_agent.grpc import (
    PUBLIC_METHODS,
    AioTocsinInterceptor,
    Needs,
    TocsinInterceptor,
)

METHODS = {
    "/orders.Orders/orders": Needs("orders:read"),
    "/orders.Orders/admin": Needs("orders:admin"),
    "/orders.Orders/money": Needs("orders:read", max_staleness=0.0),
    "/orders.Orders/follow": Needs("orders:read"),
    "/orders.Orders/upload": Needs("orders:read"),
    "/orders.Orders/talk": Needs("orders:read"),
    "/orders.Orders/idle": Needs("orders:read"),
    "/orders.Orders/stubborn": Needs("orders:read"),
    "/orders.Orders/strict": Needs("orders:read", max_staleness=1.0),
}
PUBLIC = (*PUBLIC_METHODS, "/orders.Orders/healthz")
STATUS = {
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.UNAVAILABLE: 503,
}


def of_service(**handlers: Any) -> Any:
    return grpc.method_handlers_generic_handler("orders.Orders", handlers)


@asynccontextmanager
async def aio_server(agent: VerifierAgent, service: Any) -> AsyncIterator[str]:
    interceptor = AioTocsinInterceptor(
        METHODS, agent=agent, public_methods=PUBLIC, start_agent=False
    )
    server = grpc.aio.server(interceptors=[interceptor])
    server.add_generic_rpc_handlers([service])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


@asynccontextmanager
async def sync_server(agent: VerifierAgent, service: Any) -> AsyncIterator[str]:
    interceptor = TocsinInterceptor(METHODS, agent=agent, public_methods=PUBLIC, start_agent=False)
    server = grpc.server(ThreadPoolExecutor(8), interceptors=[interceptor])
    server.add_generic_rpc_handlers([service])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await asyncio.to_thread(server.stop(0).wait)


@asynccontextmanager
async def grpc_sync(agent: VerifierAgent) -> AsyncIterator[Ask]:
    handler = grpc.unary_unary_rpc_method_handler(lambda request, context: b"{}")
    names = ("orders", "admin", "money", "healthz", "unlisted")
    service = of_service(**dict.fromkeys(names, handler))
    async with sync_server(agent, service) as address, _asking(address) as ask:
        yield ask


@asynccontextmanager
async def grpc_aio(agent: VerifierAgent) -> AsyncIterator[Ask]:
    async def answer(request: bytes, context: Any) -> bytes:
        return b"{}"

    handler = grpc.unary_unary_rpc_method_handler(answer)
    names = ("orders", "admin", "money", "healthz", "unlisted")
    service = of_service(**dict.fromkeys(names, handler))
    async with aio_server(agent, service) as address, _asking(address) as ask:
        yield ask


@asynccontextmanager
async def _asking(address: str) -> AsyncIterator[Ask]:
    async with grpc.aio.insecure_channel(address) as channel:

        async def ask(path: str, authorization: Sequence[str]) -> Answer:
            call = channel.unary_unary(f"/orders.Orders{path}")
            metadata = [("authorization", value) for value in authorization]
            try:
                await call(b"{}", metadata=metadata, timeout=10)
            except grpc.aio.AioRpcError as error:
                return grpc_answer(error)
            return Answer(200)

        yield ask


def grpc_answer(error: grpc.aio.AioRpcError) -> Answer:
    trailing = {key: str(value) for key, value in error.trailing_metadata()}
    return Answer(
        STATUS[error.code()],
        error.details(),
        challenge=trailing.get("www-authenticate"),
        retry_after=trailing.get("retry-after"),
    )
