"""A gRPC service that Tocsin protects, with `grpc.server`. Its messages are bare bytes.

Run it with ``TOCSIN_FILE=orders.tocsin python -m examples.grpc_orders.service 127.0.0.1:50051``.
"""

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc  # type: ignore[import-untyped]

from tocsin_verifier_agent.grpc import Needs, TocsinInterceptor, caller

METHODS = {
    "/orders.Orders/List": Needs("orders:read"),
    "/orders.Orders/Follow": Needs("orders:read"),
    "/orders.Orders/Place": Needs("orders:write", max_staleness=15),
}


def list_orders(request: bytes, context: grpc.ServicerContext) -> bytes:
    return f"A-1001 A-1002 of {caller().subject}".encode()


def place(request: bytes, context: grpc.ServicerContext) -> bytes:
    return b"A-1003"


def follow(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
    while context.is_active():
        yield b"A-1001"
        time.sleep(0.1)


def serve(address: str) -> tuple[grpc.Server, int]:
    """Start the agent and the server; return it and its port."""
    interceptor = TocsinInterceptor(METHODS)
    interceptor.start()
    server = grpc.server(ThreadPoolExecutor(10), interceptors=[interceptor])
    handlers = {
        "List": grpc.unary_unary_rpc_method_handler(list_orders),
        "Place": grpc.unary_unary_rpc_method_handler(place),
        "Follow": grpc.unary_stream_rpc_method_handler(follow),
    }
    service = grpc.method_handlers_generic_handler("orders.Orders", handlers)
    server.add_generic_rpc_handlers([service])
    port = server.add_insecure_port(address)
    server.start()
    return server, port


if __name__ == "__main__":
    server, port = serve(sys.argv[1])
    print(f"port {port}", flush=True)
    server.wait_for_termination()
