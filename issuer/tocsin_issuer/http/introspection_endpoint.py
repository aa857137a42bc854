"""``/oauth/introspect`` (RFC 7662), for clients that may see ``tokens:introspect``."""

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from tocsin_issuer.http.answers import Introspection
from tocsin_issuer.http.audited_route import audited_route
from tocsin_issuer.http.client_authentication import authenticate_client
from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.http.documented import CLIENT, documented
from tocsin_issuer.http.forms import TokenOnlyForm
from tocsin_issuer.http.strict_body import read_form
from tocsin_issuer.introspection import introspect
from tocsin_issuer.store.clients import invalid_client
from tocsin_schemas.errors import RequestRejected
from tocsin_schemas.jws import MAX_JWS_LENGTH

PERMISSION: Final = "tokens:introspect"


def introspection_router(context: IssuerContext) -> APIRouter:
    """The endpoint; ``token_type_hint`` is not needed, since access tokens alone are known here."""
    actions = {"/oauth/introspect": "token.introspect"}
    router = APIRouter(route_class=audited_route(context, actions, silent=True))

    @router.post(
        "/oauth/introspect",
        **documented(Introspection, caller=CLIENT, errors=(403,), form=TokenOnlyForm),
    )
    async def introspect_token(request: Request) -> JSONResponse:
        """Say whether a token is active now, and what is in it."""
        form = await read_form(request)
        client = await authenticate_client(context, request, form)
        if client is None:
            raise invalid_client()
        if PERMISSION not in client.scopes:
            raise RequestRejected(
                "unauthorized_client", "the client may not introspect tokens", status=403
            )
        token = form.get("token")
        if token is None or len(token) > MAX_JWS_LENGTH:
            raise RequestRejected("invalid_request", "token is missing or too long")
        return JSONResponse(await introspect(context, token))

    return router
