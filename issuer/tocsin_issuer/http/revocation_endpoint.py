"""``/oauth/revoke`` (RFC 7009): a confidential client takes back a token that was issued to it.

A token that is not ours, not good or not known gets 200, since there is nothing left to do for the
client (section 2.2). One of another client's is refused (section 2.1) and stays as it is. 200 says
that the revocation is in the ledger, and 202 that it stands in the durable outbox and will be, as
everywhere at this issuer. A repeated request does no harm. No lease is needed: it only takes away.
"""

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from tocsin_issuer.http.audited_route import audited_route
from tocsin_issuer.http.client_authentication import authenticate_client
from tocsin_issuer.http.commit import commit_answer
from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.http.documented import CLIENT, commits
from tocsin_issuer.http.forms import TokenOnlyForm
from tocsin_issuer.http.strict_body import read_form
from tocsin_issuer.store.clients import Client, invalid_client
from tocsin_issuer.store.outbox import Emission
from tocsin_issuer.store.refresh_token import RefreshToken
from tocsin_schemas.errors import AgentStale, LedgerRejected, RequestRejected, TokenRejected
from tocsin_schemas.events import SessionsRevoked
from tocsin_schemas.jws import MAX_JWS_LENGTH
from tocsin_verifier_agent.core.access_token import AccessToken
from tocsin_verifier_agent.core.confirmation import NOT_USED

REASON: Final = "client-revoked"
MAX_WAITING: Final = 512
"""Outbox entries that one answer looks through."""


def revocation_endpoint_router(context: IssuerContext) -> APIRouter:
    """The endpoint. ``token_type_hint`` is not needed: the two kinds of token look different."""
    actions = {"/oauth/revoke": "token.revoke"}
    router = APIRouter(route_class=audited_route(context, actions))

    @router.post("/oauth/revoke", **commits(caller=CLIENT, form=TokenOnlyForm))
    async def revoke(request: Request) -> Response:
        """Revoke an access token, or end the session of a refresh token with all of its tokens."""
        form = await read_form(request)
        client = await authenticate_client(context, request, form)
        if client is None:
            raise invalid_client()
        text = form.get("token")
        if text is None or len(text) > MAX_JWS_LENGTH:
            raise RequestRejected("invalid_request", "token is missing or too long")
        try:
            token = context.verify_own(text, NOT_USED).token
        except TokenRejected:
            return await _end_session(context, client, text)
        return await _revoke_access_token(context, client, text, token)

    return router


async def _revoke_access_token(
    context: IssuerContext, client: Client, text: str, token: AccessToken
) -> Response:
    if token.client_id != client.client_id:
        raise _not_the_clients()
    try:
        context.verify_any(text)
    except TokenRejected:  # by the ledger, so that nothing is left to promise
        return _nothing_to_do()
    except AgentStale:  # perhaps it is revoked already, and once more does no harm
        pass
    emission = await context.revocations.revoke_tokens(
        [(str(token.jti), token.exp)], REASON, "system"
    )
    return await commit_answer(context, emission)


async def _end_session(context: IssuerContext, client: Client, text: str) -> Response:
    """Of whatever generation the refresh token is: its holder may end the session."""
    found = await context.clients.session_of_refresh_token(text)
    if found is None:
        waiting = await _ending_that_waits(context, text)
        return _nothing_to_do() if waiting is None else await commit_answer(context, waiting)
    sid, owner = found
    if owner != client.client_id:
        raise _not_the_clients()
    emission = await context.revocations.revoke_sessions(
        [sid], REASON, "system", bound_s=context.bound_s()
    )
    return await commit_answer(context, emission)


async def _ending_that_waits(context: IssuerContext, text: str) -> Emission | None:
    """The event that ended the session of a refresh token, if it is not yet in the ledger.

    The session is gone as soon as its end is accepted; a client that was told 202 and asks again
    must not be told 200 for that.

    Raises:
        RequestRejected: ``outbox_long`` (503): too much waits to look through; or
            ``outbox_unreadable`` (503): something that a newer version wrote.
    """
    try:
        sid = RefreshToken.parse(text).sid
    except RequestRejected:
        return None
    try:
        entries = await context.outbox.read(MAX_WAITING + 1)
    except LedgerRejected:
        raise _nobody_can_say("outbox_unreadable") from None
    for entry in entries:
        for event in entry.events:
            if isinstance(event, SessionsRevoked) and any(
                one.sid == sid and one.iss is None for one in event.sessions
            ):
                return Emission(event.id, entry.id)
    if len(entries) > MAX_WAITING:
        raise _nobody_can_say("outbox_long")
    return None


def _nothing_to_do() -> Response:
    return JSONResponse({"event_id": None, "status": "committed"})


def _nobody_can_say(code: str) -> RequestRejected:
    return RequestRejected(code, "the issuer cannot say now", status=503)


def _not_the_clients() -> RequestRejected:
    """RFC 7009 section 2.1: the request is refused, and the client is told."""
    return RequestRejected("unauthorized_client", "the token was issued to another client")
