"""The public listener."""

from fastapi import FastAPI

from tocsin_issuer.http.application import create_app
from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.http.login import login_router
from tocsin_issuer.http.session_routes import session_router
from tocsin_issuer.http.token_endpoint import token_router
from tocsin_issuer.http.well_known import well_known_router


def create_public_app(context: IssuerContext) -> FastAPI:
    """Login, logout, the token endpoint, public keys and metadata, health."""
    routers = [
        login_router(context),
        session_router(context),
        token_router(context),
        well_known_router(context),
    ]
    return create_app("Tocsin issuer", "public", context, routers)
