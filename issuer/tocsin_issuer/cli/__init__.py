"""The `tocsin` command."""

from tocsin_issuer.cli.app import main

__all__ = ["main"]
