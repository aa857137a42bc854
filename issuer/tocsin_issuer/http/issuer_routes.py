"""``/admin/issuers``: the foreign issuers, and fetching their keys again."""

from fastapi import APIRouter
from starlette.responses import JSONResponse

from tocsin_issuer.foreign.importer import KeyImporter
from tocsin_issuer.http.admin_route import admin_router
from tocsin_issuer.http.answers import Fetching, IssuerList
from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.http.documented import OPERATOR, documented


def issuer_router(context: IssuerContext, importer: KeyImporter) -> APIRouter:
    """``keys:read`` looks, ``keys:write`` has keys fetched."""
    router = admin_router(context, "/admin/issuers")

    @router.get("", **documented(IssuerList, caller=OPERATOR))
    async def describe() -> JSONResponse:
        """Where their keys come from, when they were fetched, and which are known."""
        return JSONResponse({"issuers": importer.describe()})

    @router.post("/refresh", **documented(Fetching, 202, caller=OPERATOR))
    async def refresh() -> JSONResponse:
        """Fetch soon; what comes of it shows in the description."""
        importer.refresh()
        return JSONResponse({"status": "fetching"}, 202)

    return router
