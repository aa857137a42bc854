"""``/admin/exchange-policy``: what is allowed now, and whether the file says so too."""

from fastapi import APIRouter
from msgspec import to_builtins
from starlette.responses import JSONResponse

from tocsin_issuer.exchange.policy_file import PolicyFile
from tocsin_issuer.http.admin_route import admin_router
from tocsin_issuer.http.answers import PolicyInForce
from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.http.documented import OPERATOR, documented


def exchange_policy_router(context: IssuerContext, file: PolicyFile) -> APIRouter:
    """``clients:read`` looks."""
    router = admin_router(context, "/admin/exchange-policy")

    @router.get("", **documented(PolicyInForce, caller=OPERATOR))
    async def describe() -> JSONResponse:
        """The rules in force; with a ``failure`` they are older than the file."""
        policy = file.current()
        return JSONResponse({"failure": file.failure, **to_builtins(policy)})

    return router
