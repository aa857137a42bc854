"""``/metrics`` of the internal listener."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter
from starlette.responses import Response

from tocsin_issuer.http.documented import other_media

_MEDIA_TYPE = "text/plain"


def metrics_router(text: Callable[[], Awaitable[bytes]]) -> APIRouter:
    """Whoever gets to the internal listener may read them, as its health: scrapers hold a
    certificate and no token. No label names anybody.
    """
    router = APIRouter()

    @router.get("/metrics", **other_media(_MEDIA_TYPE, {"type": "string"}))
    async def metrics() -> Response:
        """The issuer's figures, in Prometheus' text format 0.0.4."""
        return Response(await text(), media_type=f"{_MEDIA_TYPE}; version=0.0.4; charset=utf-8")

    return router
