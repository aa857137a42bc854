"""``/admin/revocations``: by token, session, subject, client, foreign key, or everything."""

from fastapi import APIRouter
from starlette.responses import JSONResponse

from tocsin_issuer.http.admin_route import admin_router
from tocsin_issuer.http.answers import CommitAnswer, DryRun
from tocsin_issuer.http.audited import about
from tocsin_issuer.http.commit import commit_answer
from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.http.documented import OPERATOR, commits
from tocsin_issuer.revoking.request import RevocationRequest


def revocation_router(context: IssuerContext) -> APIRouter:
    """``POST /admin/revocations``, for ``revocations:write``."""
    router = admin_router(context)

    @router.post(
        "/revocations", **commits(CommitAnswer | DryRun, caller=OPERATOR, errors=(404, 429))
    )
    async def revoke(body: RevocationRequest) -> JSONResponse:
        """Revoke, and answer when it is in the ledger; or only say how much it would hit."""
        target = body.target(context.config.iss, context.verify_own)
        about(target=str(target))
        if body.root.dry_run:
            about(action="revocation.dry-run")
            impact = await context.live_counts.of(target)
            return JSONResponse({"status": "dry-run", **impact.members()})
        reason = body.root.reason or "admin"
        return await commit_answer(context, await context.revoker.revoke(target, reason, "admin"))

    return router
