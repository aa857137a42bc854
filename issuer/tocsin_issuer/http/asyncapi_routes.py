"""``/asyncapi.json``: what the issuer offers on the bus."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse

from tocsin_issuer.http.answers import AsyncApiDocument
from tocsin_issuer.http.documented import ANYBODY, documented


def asyncapi_router(document: dict[str, Any]) -> APIRouter:
    """The document is no secret to whoever reaches the internal listener."""
    router = APIRouter()

    @router.get("/asyncapi.json", **documented(AsyncApiDocument, caller=ANYBODY))
    async def asyncapi() -> JSONResponse:
        """The AsyncAPI document."""
        return JSONResponse(document)

    return router
