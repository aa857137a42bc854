"""The internal listener, for operators and services."""

from collections.abc import Callable

from fastapi import FastAPI

from tocsin_issuer.exchange.policy import NOTHING_ALLOWED, ExchangePolicy
from tocsin_issuer.http.application import create_app
from tocsin_issuer.http.audit_routes import audit_router
from tocsin_issuer.http.bulk_routes import BULK_PATH, bulk_router
from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.http.exchange_endpoint import exchange_router, token_exchange
from tocsin_issuer.http.introspection_endpoint import introspection_router
from tocsin_issuer.http.key_routes import key_router
from tocsin_issuer.http.revocation_endpoint import revocation_endpoint_router
from tocsin_issuer.http.revocation_routes import revocation_router
from tocsin_issuer.http.well_known import internal_metadata_router


def create_internal_app(
    context: IssuerContext,
    exchange_policy: Callable[[], ExchangePolicy] = lambda: NOTHING_ALLOWED,
) -> FastAPI:
    """Revocations, keys and the audit log, by permission; RFC 7009, 7662 and 8693 for clients;
    health. ``exchange_policy`` is asked at each exchange.
    """
    routers = [
        revocation_router(context),
        bulk_router(context),
        key_router(context),
        audit_router(context),
        introspection_router(context),
        revocation_endpoint_router(context),
        exchange_router(context, token_exchange(context, exchange_policy)),
        internal_metadata_router(context),
    ]
    return create_app(
        "Tocsin issuer, internal", "internal", context, routers, frozenset({BULK_PATH})
    )
