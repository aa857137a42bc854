"""The gRPC server: our service, health and reflection on one port."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
from grpc_health.v1 import health, health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import reflection  # type: ignore[import-untyped]

from tocsin_issuer.config import IssuerConfig
from tocsin_issuer.grpc.credentials import server_credentials
from tocsin_issuer.http.listening_socket import listening_socket
from tocsin_issuer.tls.material import TlsMaterial
from tocsin_schemas.auth_v1.auth_pb2 import DESCRIPTOR
from tocsin_schemas.auth_v1.auth_pb2_grpc import AuthServicer, add_AuthServicer_to_server
from tocsin_schemas.errors import ConfigurationError

GRACE_S: Final = 5
MAX_CALLS: Final = 1000
MAX_CALLS_OF_A_CONNECTION: Final = 100
MAX_METADATA_BYTES: Final = 16 * 1024
IDLE_MS: Final = 75_000
AGE_MS: Final = 10 * 60_000
_NEVER_STARTED: Final[list[grpc.aio.Server]] = []
SERVICE: Final = DESCRIPTOR.services_by_name["Auth"].full_name


class GrpcListener:
    """One port, bound at once so that a port of 0 is known. Make it in the running event loop.

    A connection ends after ten minutes: what a client began to send and never finished goes with
    it, and no connection outlives the certificates that it began with by more.

    ``certificates`` are asked for before each handshake; without them there is no TLS.

    Raises:
        ConfigurationError: ``port_in_use``.
    """

    def __init__(
        self,
        servicer: AuthServicer,
        config: IssuerConfig,
        host: str,
        port: int,
        certificates: Callable[[], TlsMaterial] | None = None,
    ) -> None:
        # A server of grpcio's that is dropped before it was started corrupts memory when it is
        # collected, so none is made for a port that is taken.
        listening_socket(host, port).close()
        self._server = grpc.aio.server(
            maximum_concurrent_rpcs=MAX_CALLS,
            options=(
                ("grpc.so_reuseport", 0),  # or a second issuer would share the port unnoticed
                ("grpc.max_receive_message_length", config.max_body_bytes),
                ("grpc.max_metadata_size", MAX_METADATA_BYTES),
                ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
                ("grpc.max_concurrent_streams", MAX_CALLS_OF_A_CONNECTION),
                # Identity alone: a small request must not become a large one.
                ("grpc.compression_enabled_algorithms_bitset", 1),
                ("grpc.server_handshake_timeout_ms", int(config.head_timeout_s * 1000)),
                ("grpc.max_connection_idle_ms", IDLE_MS),
                ("grpc.max_connection_age_ms", AGE_MS),
                ("grpc.max_connection_age_grace_ms", GRACE_S * 1000),
            ),
        )
        add_AuthServicer_to_server(servicer, self._server)  # type: ignore[no-untyped-call]
        self._health = health.aio.HealthServicer()  # pyright: ignore[reportAttributeAccessIssue]
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        self._task: asyncio.Task[None] | None = None
        try:
            self.port = self._bind(f"{host}:{port}", certificates)
        except RuntimeError:  # somebody was faster
            _NEVER_STARTED.append(self._server)
            raise ConfigurationError("port_in_use", f"cannot listen on {host}:{port}") from None

    def _bind(self, address: str, certificates: Callable[[], TlsMaterial] | None) -> int:
        port: int
        if certificates is None:
            port = self._server.add_insecure_port(address)
        else:
            port = self._server.add_secure_port(address, server_credentials(certificates))
        return port

    def start(self) -> None:
        """Serve in the background."""
        self._task = asyncio.create_task(self._serve())

    async def _serve(self) -> None:
        await self._health.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
        await self._server.start()

    async def stop(self) -> None:
        """Let the calls under way finish, then close."""
        if self._task is not None:
            await self._task
            await self._health.enter_graceful_shutdown()
        await self._server.stop(GRACE_S)
