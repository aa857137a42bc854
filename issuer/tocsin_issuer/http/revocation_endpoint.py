"""``/oauth/revoke`` (RFC 7009): a client takes back a token that was issued to it.

A token that is not ours, not good or not known gets 200, since there is nothing left to do for the
client (section 2.2). One of another client's is refused (section 2.1) and stays as it is. A public
client shows no credentials (section 2.1): it names itself, and holds the token.

200 says that the revocation is in the ledger. One that stands in the durable outbox and will be is
answered 202 elsewhere, which clients of this RFC take for an error that they cannot read; here it
is the RFC's own word for "not yet, ask again" (section 2.2.1): 503. Asking again does no harm. No
lease is needed: it only takes away.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from tocsin_issuer.audit_entry import PENDING
from tocsin_issuer.http import errors
from tocsin_issuer.http.answers import CommitAnswer
from tocsin_issuer.http.audited import about
from tocsin_issuer.http.audited_route import audited_route
from tocsin_issuer.http.client_authentication import identify_client
from tocsin_issuer.http.commit import commit_answer
from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.http.documented import CLIENT, documented
from tocsin_issuer.http.forms import TokenOnlyForm
from tocsin_issuer.http.strict_body import read_form
from tocsin_issuer.store.clients import Client
from tocsin_issuer.store.outbox import Emission
from tocsin_issuer.store.refresh_token import RefreshToken
from tocsin_schemas.errors import AgentStale, LedgerRejected, RequestRejected, TokenRejected
from tocsin_schemas.events import Event, SessionsRevoked, TokensRevoked
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

    @router.post("/oauth/revoke", **documented(CommitAnswer, caller=CLIENT, form=TokenOnlyForm))
    async def revoke(request: Request) -> Response:
        """Revoke an access token, or end the session of a refresh token with all of its tokens. A
        public client sends its `client_id` alone. 503 with the code `commit_pending`: it is
        accepted for good and waits for the ledger (other routes answer 202); repeat it to see it
        there.
        """
        form = await read_form(request)
        client = await identify_client(context, request, form)
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
    jti = str(token.jti)
    waiting = None
    with suppress(RequestRejected):  # nobody can say, and once more does no harm here either
        waiting = await _that_waits(context, lambda event: _revokes(event, jti))
    if waiting is None:
        waiting = await context.revocations.revoke_tokens([(jti, token.exp)], REASON, "system")
    return await _answer(context, waiting)


async def _end_session(context: IssuerContext, client: Client, text: str) -> Response:
    """Of whatever generation the refresh token is: its holder may end the session."""
    found = await context.clients.session_of_refresh_token(text)
    if found is None:
        waiting = await _ending_that_waits(context, text)
        return _nothing_to_do() if waiting is None else await _answer(context, waiting)
    sid, owner = found
    if owner != client.client_id:
        raise _not_the_clients()
    emission = await context.revocations.revoke_sessions(
        [sid], REASON, "system", bound_s=context.bound_s()
    )
    return await _answer(context, emission)


async def _ending_that_waits(context: IssuerContext, text: str) -> Emission | None:
    """The event that ended the session of a refresh token, if it is not yet in the ledger.

    The session is gone as soon as its end is accepted; a client that was told that it waits and
    asks again must not be told 200 for that.

    Raises:
        RequestRejected: as :func:`_that_waits`.
    """
    try:
        sid = RefreshToken.parse(text).sid
    except RequestRejected:
        return None
    return await _that_waits(context, lambda event: _ends(event, sid))


async def _that_waits(context: IssuerContext, wanted: Callable[[Event], bool]) -> Emission | None:
    """The oldest event of that kind in the outbox.

    Raises:
        RequestRejected: ``outbox_long`` (503): too much waits to look through; or
            ``outbox_unreadable`` (503): something that a newer version wrote.
    """
    try:
        entries = await context.outbox.read(MAX_WAITING + 1)
    except LedgerRejected:
        raise _nobody_can_say("outbox_unreadable") from None
    for entry in entries:
        for event in entry.events:
            if wanted(event):
                return Emission(event.id, entry.id)
    if len(entries) > MAX_WAITING:
        raise _nobody_can_say("outbox_long")
    return None


def _revokes(event: Event, jti: str) -> bool:
    return isinstance(event, TokensRevoked) and any(
        one.jti == jti and one.iss is None for one in event.tokens
    )


def _ends(event: Event, sid: str) -> bool:
    return isinstance(event, SessionsRevoked) and any(
        one.sid == sid and one.iss is None for one in event.sessions
    )


async def _answer(context: IssuerContext, emission: Emission) -> Response:
    """Wait for the ledger. What waits on is no refusal, and the audit log calls it pending."""
    answer = await commit_answer(context, emission)
    if answer.status_code == 200:
        return answer
    about(outcome=PENDING)
    return errors.answer(
        503,
        "commit_pending",
        "the revocation is accepted and waits for the ledger: repeat it to see it there",
        errors.RETRY_AFTER,
    )


def _nothing_to_do() -> Response:
    return JSONResponse({"event_id": None, "status": "committed"})


def _nobody_can_say(code: str) -> RequestRejected:
    return RequestRejected(code, "the issuer cannot say now", status=503)


def _not_the_clients() -> RequestRejected:
    """RFC 7009 section 2.1: the request is refused, and the client is told."""
    return RequestRejected("unauthorized_client", "the token was issued to another client")
