"""``/admin/audit-log``: what was done, or refused, newest first."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from starlette.responses import JSONResponse

from tocsin_issuer.http.admin_route import admin_router
from tocsin_issuer.http.answers import AuditLogPage
from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.http.documented import OPERATOR, documented

Limit = Annotated[int, Query(ge=1, le=500)]
Cursor = Annotated[str, Query(max_length=64)]


def audit_router(context: IssuerContext) -> APIRouter:
    """``GET /admin/audit-log``, for ``audit:read``."""
    router = admin_router(context)

    @router.get("/audit-log", **documented(AuditLogPage, caller=OPERATOR))
    async def audit_log(
        of: Literal["acts", "refusals"] = "acts", limit: Limit = 100, cursor: Cursor = ""
    ) -> JSONResponse:
        """A page of what was done, or of what was refused."""
        page = await context.audit_log.page(of, limit, cursor)
        body: dict[str, Any] = {"entries": list(page.entries)}
        if page.cursor:
            body["cursor"] = page.cursor
        return JSONResponse(body)

    return router
