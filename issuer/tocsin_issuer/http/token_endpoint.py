"""The token endpoint (RFC 6749 section 3.2): ``refresh_token`` and ``client_credentials``."""

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from tocsin_issuer.exchange.request import TARGETS
from tocsin_issuer.http.answers import ClientToken, SessionTokens
from tocsin_issuer.http.audited import about, entered
from tocsin_issuer.http.audited_route import audited_route
from tocsin_issuer.http.client_authentication import authenticate_client
from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.http.documented import CLIENT, documented
from tocsin_issuer.http.forms import TokenForm
from tocsin_issuer.http.strict_body import read_form
from tocsin_issuer.http.token_answer import scope_member, token_answer
from tocsin_issuer.store.clients import Client, invalid_client
from tocsin_issuer.store.refresh_token import invalid_grant
from tocsin_issuer.store.register import REFUSALS
from tocsin_schemas.errors import RequestRejected


def token_router(context: IssuerContext) -> APIRouter:
    """``/oauth/token``. A client that logs in is entered into the audit log, as a user's login is;
    of a refresh, which every session needs every few minutes, only a refusal is.
    """
    actions = {"/oauth/token": "token"}
    router = APIRouter(route_class=audited_route(context, actions, silent=True))

    @router.post(
        "/oauth/token", **documented(SessionTokens | ClientToken, caller=CLIENT, form=TokenForm)
    )
    async def token(request: Request) -> JSONResponse:
        """Issue a token for a grant."""
        form = await read_form(request)
        client = await authenticate_client(context, request, form)
        match form.get("grant_type"):
            case "refresh_token":
                about(action="token.refresh")
                return await _refresh(context, form, client)
            case "client_credentials":
                about(action="token.client")
                if client is None:
                    raise invalid_client()
                entered()
                return await _client_token(context, form, client)
            case None:
                raise RequestRejected("invalid_request", "grant_type is missing")
            case _:
                raise RequestRejected("unsupported_grant_type", "the grant type is not supported")

    return router


async def _refresh(
    context: IssuerContext, form: dict[str, str], client: Client | None
) -> JSONResponse:
    """Sessions belong to the client that they were opened with (RFC 6749 section 6)."""
    if "refresh_token" not in form:
        raise RequestRejected("invalid_request", "refresh_token is missing")
    if "scope" in form:
        raise RequestRejected("invalid_scope", "a session's tokens carry no scope")
    client_id = form.get("client_id") if client is None else client.client_id
    bound_s = context.bound_s()
    session = await context.sessions.refresh(
        form["refresh_token"],
        bound_s=bound_s,
        client_id=client_id,
        authenticated=client is not None,
        device_id=form.get("device_id"),
    )
    user = await context.users.find(session.sub)
    if user is None:
        await context.revocations.revoke_sessions(
            [session.sid], "user-gone", "system", bound_s=bound_s
        )
        raise invalid_grant()
    try:
        return await token_answer(
            context, session, user, None if client is None else client.bound_to
        )
    except RequestRejected as rejected:
        if rejected.code not in REFUSALS:
            raise
        raise invalid_grant() from None  # the session ended in this very moment


async def _client_token(
    context: IssuerContext, form: dict[str, str], client: Client
) -> JSONResponse:
    """A token in the client's own name; without a scope or audience, all that it may have. Where an
    audience is a URI, RFC 8707 calls it ``resource``.
    """
    scopes = form.get("scope", " ".join(client.scopes)).split()
    if not set(scopes) <= set(client.scopes):
        raise RequestRejected("invalid_scope", "the client may not ask for that scope")
    audiences = client.audiences
    named = {form[name] for name in TARGETS if name in form}
    if named:
        if len(named) > 1 or not named <= set(audiences):
            raise RequestRejected("invalid_target", "the client may not ask for that audience")
        audiences = tuple(named)
    try:
        minted = await context.minter.mint(
            client.client_id,
            client.client_id,
            audiences,
            scope=" ".join(scopes),
            bound_to=client.bound_to,
            generation=client.generation,
        )
    except RequestRejected as rejected:
        if rejected.code == "client_disabled":
            raise invalid_client() from None
        raise
    answer = {
        "access_token": minted.token,
        "token_type": "Bearer",
        "expires_in": minted.expires_in,
        **scope_member(scopes),
    }
    return JSONResponse(answer)
