"""`tocsin sidecar`: one agent for this host, asked over HTTP by proxies and prefork servers."""

from pathlib import Path
from typing import Annotated

import typer


def sidecar(
    file: Annotated[
        Path, typer.Option("--file", envvar="TOCSIN_FILE", help="A .tocsin file.")
    ] = Path("dev.tocsin"),
    socket: Annotated[
        Path | None,
        typer.Option(
            help="A Unix socket; by default the file's `sidecar`, or run/tocsin.sock beside it."
        ),
    ] = None,
    socket_mode: Annotated[
        str, typer.Option(help="Who may connect: 600 this user, 660 the group too.")
    ] = "660",
    listen: Annotated[
        str | None, typer.Option(help="TCP on loopback in place of the socket: HOST:PORT.")
    ] = None,
    anywhere: Annotated[
        bool, typer.Option("--anywhere", help="Allow an address that is not loopback.")
    ] = False,
    client_certificates: Annotated[
        str | None,
        typer.Option(
            help="Whose header with the client's certificate to believe: nginx, envoy or rfc9440."
        ),
    ] = None,
) -> None:
    """Answer nginx `auth_request`, Traefik ForwardAuth, Envoy ext_authz, and services of this host.

    docs/sidecar.md has the proxies' configurations.
    """
    # Here: uvicorn would slow every other command down.
    from tocsin_verifier_agent.sidecar.forwarded import PROXIES, ProxyKind
    from tocsin_verifier_agent.sidecar.server import run

    if socket_mode not in {"600", "660"}:
        raise typer.BadParameter("600 or 660", param_hint="--socket-mode")
    if socket is not None and listen is not None:
        raise typer.BadParameter("either --socket or --listen")
    proxies: dict[str | None, ProxyKind | None] = {None: None, **{kind: kind for kind in PROXIES}}
    if client_certificates not in proxies:
        raise typer.BadParameter("nginx, envoy or rfc9440", param_hint="--client-certificates")
    run(
        file,
        socket=socket,
        socket_mode=int(socket_mode, 8),
        listen=listen,
        anywhere=anywhere,
        proxy=proxies[client_certificates],
        say=lambda line: print(line, flush=True),
    )
