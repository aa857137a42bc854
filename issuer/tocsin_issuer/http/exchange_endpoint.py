"""``/oauth/token`` of the internal listener: token exchange (RFC 8693), and no other grant."""

from collections.abc import Callable

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from tocsin_issuer.exchange.exchanger import TokenExchange
from tocsin_issuer.exchange.policy import ExchangePolicy
from tocsin_issuer.exchange.request import TARGETS, ExchangeRequest, several_targets
from tocsin_issuer.http.answers import ExchangedToken
from tocsin_issuer.http.audited import about
from tocsin_issuer.http.audited_route import audited_route
from tocsin_issuer.http.client_authentication import authenticate_client
from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.http.documented import CLIENT, documented
from tocsin_issuer.http.forms import ExchangeForm
from tocsin_issuer.http.strict_body import ParameterRepeated, read_form
from tocsin_issuer.http.token_answer import scope_member
from tocsin_issuer.store.clients import invalid_client
from tocsin_schemas.errors import RequestRejected
from tocsin_schemas.token_exchange import ACCESS_TOKEN_TYPE, GRANT_TYPE


def token_exchange(context: IssuerContext, policy: Callable[[], ExchangePolicy]) -> TokenExchange:
    """The core, for any listener. ``policy`` is asked at each exchange."""
    return TokenExchange(
        policy,
        context.verify_any,
        context.minter,
        iss=context.config.iss,
        max_token_life_s=context.config.max_token_life_s,
    )


def exchange_router(context: IssuerContext, exchange: TokenExchange) -> APIRouter:
    """The endpoint. Of several targets in one request none is chosen: they are refused."""
    actions = {"/oauth/token": "token.exchange"}
    router = APIRouter(route_class=audited_route(context, actions))

    @router.post("/oauth/token", **documented(ExchangedToken, caller=CLIENT, form=ExchangeForm))
    async def token(request: Request) -> JSONResponse:
        """Trade a caller's token for one with a single audience."""
        form = await _read(request)
        client = await authenticate_client(context, request, form)
        if "grant_type" not in form:
            raise RequestRejected("invalid_request", "grant_type is missing")
        if form["grant_type"] != GRANT_TYPE:
            raise RequestRejected("unsupported_grant_type", "the grant type is not supported here")
        if client is None:
            raise invalid_client()
        exchanged = await exchange.exchange(client, ExchangeRequest.from_form(form))
        about(actor=exchanged.sub, target=exchanged.audience)
        return JSONResponse(
            {
                "access_token": exchanged.token,
                "issued_token_type": ACCESS_TOKEN_TYPE,
                "token_type": "Bearer",
                "expires_in": exchanged.expires_in,
                **scope_member(exchanged.scopes),
            }
        )

    return router


async def _read(request: Request) -> dict[str, str]:
    try:
        return await read_form(request)
    except ParameterRepeated as repeated:
        if repeated.names <= TARGETS:
            raise several_targets() from None
        raise
