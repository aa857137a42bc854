"""``/admin/issuers``: the foreign issuers, and fetching their keys again."""

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from tocsin_issuer.foreign.importer import KeyImporter
from tocsin_issuer.http.answers import Fetching, IssuerList
from tocsin_issuer.http.bearer import require_operator
from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.http.documented import OPERATOR, documented


def issuer_router(context: IssuerContext, importer: KeyImporter) -> APIRouter:
    """``keys:read`` looks, ``keys:write`` has keys fetched."""
    router = APIRouter(prefix="/admin/issuers")

    @router.get("", **documented(IssuerList, caller=OPERATOR))
    async def describe(request: Request) -> JSONResponse:
        """Where their keys come from, when they were fetched, and which are known."""
        require_operator(context, request, "keys:read")
        return JSONResponse({"issuers": importer.describe()})

    @router.post("/refresh", **documented(Fetching, 202, caller=OPERATOR))
    async def refresh(request: Request) -> JSONResponse:
        """Fetch soon; what comes of it shows in the description."""
        require_operator(context, request, "keys:write")
        importer.refresh()
        return JSONResponse({"status": "fetching"}, 202)

    return router
