"""Where the issuer is reached over the network: two HTTP listeners, and gRPC where it is wanted."""

from __future__ import annotations

from fastapi import FastAPI

from tocsin_issuer.config import IssuerConfig
from tocsin_issuer.exchange.policy_file import PolicyFile
from tocsin_issuer.grpc.auth_servicer import ExchangeServicer
from tocsin_issuer.grpc.listener import GrpcListener
from tocsin_issuer.http.account_routes import account_router
from tocsin_issuer.http.ceremony_routes import ceremony_router
from tocsin_issuer.http.connection import ConnectionLimits
from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.http.exchange_endpoint import token_exchange
from tocsin_issuer.http.exchange_policy_route import exchange_policy_router
from tocsin_issuer.http.internal import create_internal_app
from tocsin_issuer.http.issuer_routes import issuer_router
from tocsin_issuer.http.metrics_route import metrics_router
from tocsin_issuer.http.public import create_public_app
from tocsin_issuer.http.server import Listener
from tocsin_issuer.metrics import IssuerMetrics
from tocsin_issuer.service.keys import IssuerKeys
from tocsin_issuer.service.stores import Stores
from tocsin_issuer.tls.watch import WatchedTls


def internal_app(
    context: IssuerContext,
    policy: PolicyFile,
    stores: Stores,
    keys: IssuerKeys,
    metrics: IssuerMetrics,
) -> FastAPI:
    """The internal application, with the routes that need more than the context."""
    app = create_internal_app(context, policy.current)
    app.include_router(exchange_policy_router(context, policy))
    app.include_router(issuer_router(context, keys.importer))
    app.include_router(ceremony_router(context, keys.ceremonies))
    app.include_router(
        account_router(context, stores.users, stores.account_endings, stores.accounts)
    )
    app.include_router(metrics_router(metrics.text))
    return app


def public_listener(context: IssuerContext) -> Listener:
    """For users and clients.

    Raises:
        ConfigurationError: as :class:`Listener`, here and below.
    """
    config = context.config
    app = create_public_app(context)
    limits = ConnectionLimits.of(config)
    return Listener(app, config.public_host, config.public_port, limits, config.public_tls)


def internal_listener(app: FastAPI, config: IssuerConfig) -> Listener:
    """For operators and services."""
    limits = ConnectionLimits.of(config)
    return Listener(app, config.internal_host, config.internal_port, limits, config.internal_tls)


def grpc_listener(context: IssuerContext, policy: PolicyFile, port: int) -> GrpcListener:
    """The exchange over gRPC, with the certificates of the internal listener."""
    config = context.config
    servicer = ExchangeServicer(context, token_exchange(context, policy.current))
    files = config.internal_tls
    shown = None if files is None else WatchedTls(files).current
    return GrpcListener(servicer, config, config.grpc_host, port, shown)
