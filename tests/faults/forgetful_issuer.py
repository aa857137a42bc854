"""`tocsin issuer run` with a replica that remembers no more than four past records."""

from __future__ import annotations

from tocsin_revocation_bus.core import chain

chain.REMEMBERED = 4

if __name__ == "__main__":
    from tocsin_issuer.cli.app import main

    main()
