"""The exchange over gRPC, beside the internal listener of the HTTP tests."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import grpc.aio  # type: ignore[import-untyped]
import pytest

from tests.issuer.http.conftest import CONFIG, Issuer
from tests.issuer.http.conftest import everything_is_logged as everything_is_logged
from tests.issuer.http.conftest import issuer as issuer
from tests.issuer.http.exchange_services import Services, log_in, open_services
from tocsin_issuer.grpc.auth_servicer import ExchangeServicer
from tocsin_issuer.grpc.listener import GrpcListener
from tocsin_issuer.http.exchange_endpoint import token_exchange
from tocsin_issuer.tls.material import TlsMaterial


@pytest.fixture
async def services(issuer: Issuer) -> AsyncIterator[Services]:
    async with open_services(issuer) as services:
        yield services


@pytest.fixture
async def subject(issuer: Issuer) -> dict[str, Any]:
    return await log_in(issuer)


def make_listener(
    services: Services,
    *,
    port: int = 0,
    certificates: Callable[[], TlsMaterial] | None = None,
    **changes: Any,
) -> GrpcListener:
    """``changes`` are of the configuration."""
    config = CONFIG.model_copy(update=changes)
    context = replace(services.context, config=config)
    servicer = ExchangeServicer(context, token_exchange(context, lambda: services.policy))
    return GrpcListener(servicer, config, "127.0.0.1", port, certificates)


@pytest.fixture
async def listener(services: Services) -> AsyncIterator[GrpcListener]:
    listener = make_listener(services)
    listener.start()
    yield listener
    await listener.stop()


@pytest.fixture
async def channel(listener: GrpcListener) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{listener.port}") as channel:
        yield channel
