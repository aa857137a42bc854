"""``tocsin.auth.v1.Auth``: the exchange over HTTP, in other clothes."""

from __future__ import annotations

import asyncio

import grpc.aio  # type: ignore[import-untyped]

from tocsin_issuer.exchange.exchanger import TokenExchange
from tocsin_issuer.exchange.request import TARGETS, ExchangeRequest, several_targets
from tocsin_issuer.grpc.errors import refusal_of
from tocsin_issuer.http.client_authentication import authenticate, invalid_client
from tocsin_issuer.http.context import IssuerContext
from tocsin_schemas.auth_v1.auth_pb2 import ExchangeTokenRequest, ExchangeTokenResponse
from tocsin_schemas.auth_v1.auth_pb2_grpc import AuthServicer
from tocsin_schemas.token_exchange import ACCESS_TOKEN_TYPE
from tocsin_verifier_agent.adapters import peer


class ExchangeServicer(AuthServicer):
    """Parses, authenticates, calls the core, and no more. A call has ``grpc_timeout_s``."""

    def __init__(self, context: IssuerContext, exchange: TokenExchange) -> None:
        self._context = context
        self._exchange = exchange

    async def ExchangeToken(
        self, request: ExchangeTokenRequest, context: grpc.aio.ServicerContext
    ) -> ExchangeTokenResponse:
        """Trade a caller's token for one with a single audience (RFC 8693)."""
        try:
            async with asyncio.timeout(self._context.config.grpc_timeout_s):
                return await self._trade(request, context)
        except Exception as error:
            refusal = refusal_of(error)
        await context.abort(refusal.status, refusal.details, refusal.metadata)
        raise AssertionError  # abort has raised

    async def _trade(
        self, request: ExchangeTokenRequest, context: grpc.aio.ServicerContext
    ) -> ExchangeTokenResponse:
        form = _form_of(request)
        client = await authenticate(
            self._context, _authorization(context), form, peer.of_grpc(context)
        )
        if client is None:
            raise invalid_client()
        exchanged = await self._exchange.exchange(client, ExchangeRequest.from_form(form))
        return ExchangeTokenResponse(
            access_token=exchanged.token,
            issued_token_type=ACCESS_TOKEN_TYPE,
            token_type="Bearer",  # noqa: S106 (a name)
            expires_in=exchanged.expires_in,
            scope=" ".join(exchanged.scopes),
        )


def _form_of(request: ExchangeTokenRequest) -> dict[str, str]:
    """The parameters by the names that they have in a form.

    Raises:
        RequestRejected: ``invalid_target`` where there are several.
    """
    form: dict[str, str] = {}
    for field, value in request.ListFields():
        values = value if field.name in TARGETS else [value]
        if len(values) > 1:
            raise several_targets()
        form[field.name] = values[0]
    return {name: value for name, value in form.items() if value}


def _authorization(context: grpc.aio.ServicerContext) -> list[str]:
    metadata = context.invocation_metadata() or ()
    return [str(value) for key, value in metadata if key == "authorization"]
