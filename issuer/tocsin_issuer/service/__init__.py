"""One issuer process, put together: ledger, keys, stores, listeners and bus."""

from tocsin_issuer.service.issuer_service import IssuerService

__all__ = ["IssuerService"]
