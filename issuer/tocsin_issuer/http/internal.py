"""The internal listener, for operators and services."""

from fastapi import FastAPI

from tocsin_issuer.http.application import create_app
from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.http.introspection_endpoint import introspection_router
from tocsin_issuer.http.key_routes import key_router
from tocsin_issuer.http.revocation_routes import revocation_router


def create_internal_app(context: IssuerContext) -> FastAPI:
    """Revocations and keys, by permission; introspection; health."""
    routers = [revocation_router(context), key_router(context), introspection_router(context)]
    return create_app("Tocsin issuer, internal", context, routers)
