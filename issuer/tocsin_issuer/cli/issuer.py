"""`tocsin issuer`: make one, and run one on servers of the operator's."""

import asyncio
import json
import logging
import signal
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import to_builtins
from rich.table import Table

from tocsin_issuer.cli.duration import seconds
from tocsin_issuer.cli.output import print_table
from tocsin_issuer.exchange.policy import Target
from tocsin_issuer.exchange.policy_file import read_policy
from tocsin_issuer.keys import ceremony
from tocsin_issuer.keys.draft_request import MAX_ROTATIONS
from tocsin_schemas.errors import ConfigurationError
from tocsin_schemas.keyset import Policy

if TYPE_CHECKING:
    from tocsin_issuer.service import IssuerService

app = typer.Typer(help="The auth service.", no_args_is_help=True)


@app.command()
def init(
    issuer: Annotated[str, typer.Option(help="The `iss` of all tokens: one fixed URL.")],
    folder: Annotated[Path, typer.Option("--dir", help="A new data directory.")] = Path(
        ".tocsin/issuer"
    ),
    alg: Annotated[str, typer.Option(help="Of the token keys: RS256, ES256 or Ed25519.")] = "RS256",
    roots: Annotated[int, typer.Option(min=1, max=16)] = 1,
    threshold: Annotated[int, typer.Option(min=1, max=16)] = 1,
    lease_ms: Annotated[int, typer.Option(min=500, max=3_600_000)] = 120_000,
    heartbeat_ms: Annotated[int, typer.Option(min=50, max=60_000)] = 1_000,
    rotations: Annotated[
        int, typer.Option(min=1, max=MAX_ROTATIONS, help="Token keys after the active one.")
    ] = 3,
    every: Annotated[str, typer.Option(help="How long each token key signs.")] = "30d",
) -> None:
    """Make roots, ledger key, token keys for several rotations and the first keyset.

    The roots lie in the folder. For production, `tocsin keys ceremony` keeps them elsewhere.
    """
    keyset = ceremony.init(
        folder,
        issuer=issuer,
        policy=Policy(lease_ms=lease_ms, heartbeat_ms=heartbeat_ms),
        now=int(time.time()),
        alg=alg,
        roots=roots,
        threshold=threshold,
        rotations=rotations,
        rotate_every_s=seconds(every),
    )
    print(f"keyset 1 of {keyset.iss} in {folder}; pin in the services' files:")
    for kid in sorted(keyset.roots.public_keys()):
        print(f"  root {kid}")


@app.command()
def run() -> None:
    """Run the issuer on the servers that the environment names, until it is told to stop."""
    # Here: the service brings web and bus frameworks, which would slow every other command down.
    from tocsin_issuer.logs import log_as_json
    from tocsin_issuer.service import IssuerService
    from tocsin_issuer.settings import log_level, settings_from_environment
    from tocsin_issuer.store.audit_log import LOGGER

    log_as_json(log_level())
    logging.getLogger(LOGGER).setLevel(logging.INFO)
    asyncio.run(_run(IssuerService(settings_from_environment())))


async def _run(service: "IssuerService") -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    try:
        await service.start()
        service.open()
        await service.run_until(stopped)
    finally:
        await service.stop()


@app.command("end-sessions")
def end_sessions() -> None:
    """End every session, on the Redis that TOCSIN_REDIS_URL names: after it was restored from a
    backup while no issuer ran. Access tokens stay good until they expire.
    """
    from tocsin_issuer.settings import ExternalServers

    url = ExternalServers.from_environment().redis_url
    if url is None:
        raise ConfigurationError("setting_missing", "TOCSIN_REDIS_URL is not set")
    asyncio.run(_end_sessions(url))
    print("every session has ended: everybody logs in anew")


async def _end_sessions(url: str) -> None:
    from tocsin_issuer.service.stores import connect_store
    from tocsin_issuer.store.lineage import Lineage

    async with AsyncExitStack() as closing:
        await Lineage(await connect_store(url, closing)).end_all_families()


@app.command("check-exchange")
def check_exchange(
    file: Annotated[Path, typer.Argument(help="A token exchange policy: `exchange.toml`.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check who may exchange tokens for what, before a running issuer reads it."""
    policy = read_policy(file)
    if as_json:
        print(json.dumps(to_builtins(policy)))
        return
    table = Table("client", "receives", "target", "scopes", "life (s)", "resource", "pass through")
    for client_id, rule in policy.clients.items():
        for audience, target in rule.targets.items() or [("none", Target())]:
            table.add_row(
                client_id,
                " ".join(rule.receives),
                audience,
                " ".join(target.scopes),
                str(target.life_s),
                target.resource,
                "yes" if target.pass_through else "no",
            )
    print_table(table)


@app.command()
def secrets(
    issuer: Annotated[str, typer.Option(help="The `iss` of all tokens: one fixed URL.")],
    folder: Annotated[Path, typer.Option("--dir", help="A new folder.")] = Path("docker/secrets"),
    service: Annotated[list[str] | None, typer.Option(help="An audience. May be repeated.")] = None,
) -> None:
    """Make every secret of a compose deployment, and the services' files."""
    from tocsin_issuer.deploy_secrets import make_deploy_secrets

    make_deploy_secrets(
        folder,
        issuer=issuer,
        services=service or ["orders", "inventory"],
        policy=Policy(),
        now=int(time.time()),
    )
    print(f"made {folder}; docker/README.md says how to start with it")
