"""`tocsin up`: the whole stack for development."""

import asyncio
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from tocsin_schemas.errors import ConfigurationError
from tocsin_schemas.keyset import Policy

if TYPE_CHECKING:
    from tocsin_issuer.development import Development

_SERVICE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def up(
    folder: Annotated[
        Path, typer.Option("--dir", help="Where everything is kept between starts.")
    ] = Path(".tocsin"),
    service: Annotated[
        list[str] | None,
        typer.Option(help="An audience; NAME.tocsin is written for it. May be repeated."),
    ] = None,
    public_port: Annotated[int, typer.Option(min=1, max=65535)] = 8400,
    internal_port: Annotated[int, typer.Option(min=1, max=65535)] = 8401,
    grpc_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Offers the token exchange over gRPC too.")
    ] = None,
    lease_ms: Annotated[
        int, typer.Option(min=500, max=3_600_000, help="L, on the first start.")
    ] = 120_000,
    heartbeat_ms: Annotated[
        int, typer.Option(min=50, max=60_000, help="H, on the first start.")
    ] = 1_000,
) -> None:
    """Run issuer, NATS and Valkey until Ctrl-C; write NAME.tocsin for the services.

    NATS and Valkey are embedded, unless TOCSIN_NATS_URL and TOCSIN_REDIS_URL name others.
    """
    # Here: the service brings web and bus frameworks, which would slow every other command down.
    from tocsin_issuer.development import Development, DevelopmentOptions
    from tocsin_issuer.logs import log_as_json
    from tocsin_issuer.settings import log_level

    log_as_json(log_level(default="warning"))
    services = service or ["dev"]
    for name in services:
        if not _SERVICE_NAME.fullmatch(name):
            raise ConfigurationError("usage", "a service's name is of a-z, 0-9 and hyphens")
    options = DevelopmentOptions(
        folder=folder,
        out=Path(),
        services=services,
        public_port=public_port,
        internal_port=internal_port,
        grpc_port=grpc_port,
        policy=Policy(lease_ms=lease_ms, heartbeat_ms=heartbeat_ms),
    )
    with Development(options) as development:
        asyncio.run(_run(development))


async def _run(development: "Development") -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    console = Console(highlight=False, soft_wrap=True)
    service = development.service
    try:
        await service.start()
        first = await development.first_start()
        files = development.write_service_files()
        console.print(f"issuer    {development.public_url}  (admin {development.internal_url})")
        for path in files:
            console.print(f"service   {path}")
        if first is not None:
            console.print(f"user      {first.username}  password {first.password}")
            console.print(f"          shown once; kept in {first.user_file}")
            console.print(f"operator  {first.admin_file}")
        console.print("ready; Ctrl-C stops it")
        service.open()
        await service.run_until(stopped)
    finally:
        await service.stop()
