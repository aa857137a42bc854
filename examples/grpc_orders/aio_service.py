"""The same service with `grpc.aio.server`.

Run it with
``TOCSIN_FILE=orders.tocsin python -m examples.grpc_orders.aio_service 127.0.0.1:50051``.
"""

import asyncio
import sys
from collections.abc import AsyncIterator

import grpc.aio  # type: ignore[import-untyped]

from examples.grpc_orders.service import METHODS
from tocsin_verifier_agent.grpc import AioTocsinInterceptor, caller


async def list_orders(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
    return f"A-1001 A-1002 of {caller().subject}".encode()


async def place(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
    return b"A-1003"


async def follow(request: bytes, context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
    while True:
        yield b"A-1001"
        await asyncio.sleep(0.1)


async def serve(address: str) -> None:
    """Start the agent and the server."""
    interceptor = AioTocsinInterceptor(METHODS)
    await asyncio.to_thread(interceptor.start)
    server = grpc.aio.server(interceptors=[interceptor])
    handlers = {
        "List": grpc.unary_unary_rpc_method_handler(list_orders),
        "Place": grpc.unary_unary_rpc_method_handler(place),
        "Follow": grpc.unary_stream_rpc_method_handler(follow),
    }
    service = grpc.method_handlers_generic_handler("orders.Orders", handlers)
    server.add_generic_rpc_handlers([service])
    port = server.add_insecure_port(address)
    await server.start()
    print(f"port {port}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
