"""``/oauth/token`` of the internal listener: token exchange (RFC 8693), and no other grant."""

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from tocsin_issuer.exchange.exchanger import TokenExchange
from tocsin_issuer.exchange.request import ACCESS_TOKEN_TYPE, GRANT_TYPE, ExchangeRequest
from tocsin_issuer.http.client_authentication import authenticate_client, invalid_client
from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.http.strict_body import read_form
from tocsin_schemas.errors import RequestRejected


def exchange_router(context: IssuerContext, exchange: TokenExchange) -> APIRouter:
    """The endpoint. Of several targets in one request none is chosen: they are refused."""
    router = APIRouter()

    @router.post("/oauth/token")
    async def token(request: Request) -> JSONResponse:
        """Trade a caller's token for one with a single audience."""
        form = await read_form(request)
        client = await authenticate_client(context, request, form)
        if "grant_type" not in form:
            raise RequestRejected("invalid_request", "grant_type is missing")
        if form["grant_type"] != GRANT_TYPE:
            raise RequestRejected("unsupported_grant_type", "the grant type is not supported here")
        if client is None:
            raise invalid_client()
        exchanged = await exchange.exchange(client, ExchangeRequest.from_form(form))
        return JSONResponse(
            {
                "access_token": exchanged.token,
                "issued_token_type": ACCESS_TOKEN_TYPE,
                "token_type": "Bearer",
                "expires_in": exchanged.expires_in,
                "scope": " ".join(exchanged.scopes),
            }
        )

    return router
