"""`python -m tocsin_verifier_agent.sidecar --file orders.tocsin`, for hosts without the issuer."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from tocsin_schemas.errors import TocsinError
from tocsin_verifier_agent.sidecar.address import SOCKET_MODES
from tocsin_verifier_agent.sidecar.forwarded import PROXIES
from tocsin_verifier_agent.sidecar.server import run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to stop; 1 where something is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m tocsin_verifier_agent.sidecar",
        description="One agent for this host, asked over HTTP by proxies and prefork servers.",
    )
    parser.add_argument("--file", type=Path, help="a .tocsin file (default: TOCSIN_FILE)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--socket", type=Path, help="a Unix socket (default: the file's `sidecar`)")
    where.add_argument("--listen", metavar="HOST:PORT", help="TCP on loopback instead")
    parser.add_argument(
        "--socket-mode",
        type=lambda text: int(text, 8),
        choices=SOCKET_MODES,
        default=0o660,
        metavar="{600,660}",
        help="who may connect: this user, or the group too (default: 660)",
    )
    parser.add_argument(
        "--anywhere", action="store_true", help="allow an address that is not loopback"
    )
    parser.add_argument(
        "--client-certificates",
        choices=tuple(PROXIES),
        help="whose header with the client's certificate to believe (default: nobody's)",
    )
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    try:
        run(
            chosen.file,
            socket=chosen.socket,
            socket_mode=chosen.socket_mode,
            listen=chosen.listen,
            anywhere=chosen.anywhere,
            proxy=chosen.client_certificates,
            say=lambda line: print(line, flush=True),
        )
    except TocsinError as error:
        sys.stderr.write(f"tocsin sidecar: {error} [{error.code}]\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
