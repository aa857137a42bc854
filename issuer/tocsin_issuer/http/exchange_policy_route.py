"""``/admin/exchange-policy``: what is allowed now, and whether the file says so too."""

from fastapi import APIRouter, Request
from msgspec import to_builtins
from starlette.responses import JSONResponse

from tocsin_issuer.exchange.policy_file import PolicyFile
from tocsin_issuer.http.answers import PolicyInForce
from tocsin_issuer.http.bearer import require_operator
from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.http.documented import OPERATOR, documented


def exchange_policy_router(context: IssuerContext, file: PolicyFile) -> APIRouter:
    """``clients:read`` looks."""
    router = APIRouter(prefix="/admin/exchange-policy")

    @router.get("", **documented(PolicyInForce, caller=OPERATOR))
    async def describe(request: Request) -> JSONResponse:
        """The rules in force; with a ``failure`` they are older than the file."""
        require_operator(context, request, "clients:read")
        policy = file.current()
        return JSONResponse({"failure": file.failure, **to_builtins(policy)})

    return router
