"""``/asyncapi.json``: what the issuer offers on the bus."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse


def asyncapi_router(document: dict[str, Any]) -> APIRouter:
    """The document is no secret to whoever reaches the internal listener."""
    router = APIRouter()

    @router.get("/asyncapi.json")
    async def asyncapi() -> JSONResponse:
        """The AsyncAPI document."""
        return JSONResponse(document)

    return router
