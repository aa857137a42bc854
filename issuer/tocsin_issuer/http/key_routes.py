"""``/admin/keys``: look, rotate, revoke."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import JSONResponse

from tocsin_issuer.http.answers import ChosenKey, KeyList
from tocsin_issuer.http.bearer import require_operator
from tocsin_issuer.http.commit import commit_answer
from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.http.documented import OPERATOR, commits, documented

Kid = Annotated[str, Path(pattern="^[A-Za-z0-9_-]{43}$")]


def key_router(context: IssuerContext) -> APIRouter:
    """``keys:read`` looks, ``keys:write`` changes."""
    router = APIRouter(prefix="/admin/keys")

    @router.get("", **documented(KeyList, caller=OPERATOR))
    async def describe(request: Request) -> JSONResponse:
        """Phases and dates of the token keys."""
        require_operator(context, request, "keys:read")
        return JSONResponse({"keys": context.keys.describe()})

    @router.post("/rotate", **documented(ChosenKey, caller=OPERATOR, errors=(409,)))
    async def rotate(request: Request) -> JSONResponse:
        """Let the standby sign."""
        require_operator(context, request, "keys:write")
        return JSONResponse({"kid": await context.keys.rotate()})

    @router.post("/{kid}/revoke", **commits(caller=OPERATOR, errors=(404, 409)))
    async def revoke(kid: Kid, request: Request) -> JSONResponse:
        """Revoke a key for good."""
        require_operator(context, request, "keys:write")
        return await commit_answer(context, await context.keys.revoke(kid))

    return router
