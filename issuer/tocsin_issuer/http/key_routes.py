"""``/admin/keys``: look, rotate, revoke."""

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import JSONResponse

from tocsin_issuer.http.admin_route import admin_router
from tocsin_issuer.http.answers import ChosenKey, KeyList
from tocsin_issuer.http.audited import about
from tocsin_issuer.http.commit import commit_answer
from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.http.documented import OPERATOR, commits, documented

Kid = Annotated[str, Path(pattern="^[A-Za-z0-9_-]{43}$")]


def key_router(context: IssuerContext) -> APIRouter:
    """``keys:read`` looks, ``keys:write`` changes."""
    router = admin_router(context, "/admin/keys")

    @router.get("", **documented(KeyList, caller=OPERATOR))
    async def describe() -> JSONResponse:
        """Phases and dates of the keys, and what is to be noticed."""
        return JSONResponse(context.keys.describe())

    @router.post("/rotate", **documented(ChosenKey, caller=OPERATOR, errors=(409,)))
    async def rotate() -> JSONResponse:
        """Let the standby sign."""
        kid = await context.keys.rotate()
        about(target=kid)
        return JSONResponse({"kid": kid})

    @router.post("/{kid}/revoke", **commits(caller=OPERATOR, errors=(404, 409)))
    async def revoke(kid: Kid) -> JSONResponse:
        """Revoke a key for good."""
        about(target=kid)
        return await commit_answer(context, await context.keys.revoke(kid))

    return router
