"""``/admin/keys``: look, rotate, revoke."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import JSONResponse

from tocsin_issuer.http.bearer import require_operator
from tocsin_issuer.http.commit import commit_answer
from tocsin_issuer.http.context import IssuerContext

Kid = Annotated[str, Path(pattern="^[A-Za-z0-9_-]{43}$")]


def key_router(context: IssuerContext) -> APIRouter:
    """``keys:read`` looks, ``keys:write`` changes."""
    router = APIRouter(prefix="/admin/keys")

    @router.get("")
    async def describe(request: Request) -> JSONResponse:
        """Phases and dates of the keys, and what is to be noticed."""
        require_operator(context, request, "keys:read")
        return JSONResponse(context.keys.describe())

    @router.post("/rotate")
    async def rotate(request: Request) -> JSONResponse:
        """Let the standby sign."""
        require_operator(context, request, "keys:write")
        return JSONResponse({"kid": await context.keys.rotate()})

    @router.post("/{kid}/revoke")
    async def revoke(kid: Kid, request: Request) -> JSONResponse:
        """Revoke a key for good."""
        require_operator(context, request, "keys:write")
        return await commit_answer(context, await context.keys.revoke(kid))

    return router
