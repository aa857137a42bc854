"""The routes of the admin API: authorised by the one table, entered into the audit log."""

from fastapi import APIRouter, Request
from msgspec import UNSET
from starlette.responses import Response

from tocsin_issuer.http.admin_calls import ADMIN_CALLS
from tocsin_issuer.http.audited import Draft, Handler, about, audited
from tocsin_issuer.http.bearer import bearer_token
from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.http.errors import InsufficientScope
from tocsin_issuer.http.strict_body import StrictJsonRoute
from tocsin_schemas.errors import TokenRejected
from tocsin_verifier_agent.adapters import peer
from tocsin_verifier_agent.core.verified import Verified


def admin_router(context: IssuerContext, prefix: str = "/admin") -> APIRouter:
    """A router each of whose routes stands in :data:`ADMIN_CALLS`: building any other one fails.

    Nothing of a request but its token is looked at before the operator is known to be allowed to
    make it. What was done is in the audit log before the answer goes out; of what only looks,
    refusals alone are.
    """

    class AdminRoute(StrictJsonRoute):
        def get_route_handler(self) -> Handler:
            handle = super().get_route_handler()
            method = "".join(self.methods or ())  # of two, the table has no row
            call = ADMIN_CALLS[method, self.path_format]

            async def authorised(request: Request) -> Response:
                request.state.operator = _operator(context, request, call.scope)
                return await handle(request)

            async def entered(request: Request) -> Response:
                draft = Draft(call.action, durable=True, silent=method == "GET")
                return await audited(context, request, draft, authorised)

            return entered

    return APIRouter(prefix=prefix, route_class=AdminRoute)


def operator_of(request: Request) -> Verified:
    """Who makes the request, as the route has verified."""
    operator: Verified = request.state.operator
    return operator


def _operator(context: IssuerContext, request: Request, scope: str) -> Verified:
    """The operator, whose token is good as of now and carries the permission.

    Raises:
        RequestRejected: ``token_missing`` (401) or ``insufficient_scope`` (403).
        TokenRejected: 401, also for a service that acts for an operator (RFC 8693 ``act``).
        AgentStale: 503: a revoked operator's token must not work because we are cut off.
    """
    verified = context.verify_admin(bearer_token(request), peer.of_scope(request.scope))
    if verified.token.act is not UNSET:
        raise TokenRejected("act")
    about(actor=verified.subject, client_id=verified.client_id or "")
    if scope not in verified.permissions:
        raise InsufficientScope(scope)
    return verified
