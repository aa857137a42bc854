"""Routes whose calls are entered into the audit log without their handlers' doing."""

from collections.abc import Mapping

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from tocsin_issuer.http.audited import Draft, Handler, audited
from tocsin_issuer.http.context import IssuerContext


def audited_route(
    context: IssuerContext,
    actions: Mapping[str, str],
    of: type[APIRoute] = APIRoute,
    *,
    silent: bool = False,
) -> type[APIRoute]:
    """A kind of route: each path of ``actions`` is entered under that name, no other path is.

    With ``silent`` refusals alone are entered, and what a handler wants to have
    :func:`~tocsin_issuer.http.audited.entered`.
    """

    class AuditedRoute(of):  # type: ignore[misc,valid-type]
        def get_route_handler(self) -> Handler:
            handle: Handler = super().get_route_handler()
            action = actions.get(self.path_format)
            if action is None:
                return handle

            async def entered(request: Request) -> Response:
                return await audited(context, request, Draft(action, silent=silent), handle)

            return entered

    return AuditedRoute
