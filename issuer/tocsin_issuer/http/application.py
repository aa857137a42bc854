"""What both listeners have in common."""

from fastapi import APIRouter, FastAPI
from starlette.responses import JSONResponse

from tocsin_issuer.http import errors
from tocsin_issuer.http.answers import Health
from tocsin_issuer.http.body_limit import BodyLimit
from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.http.documented import ANYBODY, DocumentedApp, documented
from tocsin_issuer.http.request_counts import ListenerName
from tocsin_issuer.http.request_id import RequestId
from tocsin_issuer.http.request_log import RequestLog
from tocsin_issuer.http.security_headers import SecurityHeaders


def create_app(
    title: str,
    listener: ListenerName,
    context: IssuerContext,
    routers: list[APIRouter],
    streamed: frozenset[str] = frozenset(),
) -> FastAPI:
    """An application with our errors, limits and headers, and no pages of its own. The routes at
    ``streamed`` limit their bodies themselves.
    """
    app = DocumentedApp(title=title, docs_url=None, redoc_url=None)
    errors.install(app)
    for router in (*routers, _health(context)):
        app.include_router(router)
    app.add_middleware(
        BodyLimit,
        max_bytes=context.config.max_body_bytes,
        timeout_s=context.config.body_timeout_s,
        streamed=streamed,
    )
    app.add_middleware(SecurityHeaders)
    app.add_middleware(RequestLog, counts=context.requests, listener=listener)
    app.add_middleware(RequestId)
    return app


def _health(context: IssuerContext) -> APIRouter:
    router = APIRouter()

    @router.get("/healthz", **documented(Health, caller=ANYBODY))
    async def healthz() -> JSONResponse:
        """The process answers."""
        return JSONResponse({"status": "ok"})

    @router.get("/readyz", **documented(Health, 200, 503, caller=ANYBODY))
    async def readyz() -> JSONResponse:
        """Everything that is needed works."""
        ready = await context.readiness()
        return JSONResponse({"status": "ready" if ready else "not ready"}, 200 if ready else 503)

    return router
