"""``/v1/sessions``: users look at their sessions, and end them."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import JSONResponse

from tocsin_issuer.http.answers import SessionPage
from tocsin_issuer.http.bearer import verified_owner
from tocsin_issuer.http.commit import commit_answer
from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.http.documented import USER, commits, documented
from tocsin_issuer.http.strict_body import StrictJsonRoute
from tocsin_issuer.store.own_sessions import SessionView
from tocsin_schemas.errors import TokenRejected

Sid = Annotated[str, Path(pattern="^[A-Za-z0-9_-]{22}$")]
Limit = Annotated[int, Query(ge=1, le=100)]
Cursor = Annotated[str, Query(pattern="^[0-9]{1,15}\\.[A-Za-z0-9_-]{22}$")]
Except = Annotated[Literal["current"], Query(alias="except")]


def session_router(context: IssuerContext) -> APIRouter:
    """Each route needs the user's own access token, of a session that is alive."""
    router = APIRouter(prefix="/v1/sessions", route_class=StrictJsonRoute)
    own = context.sessions.own

    async def caller(request: Request) -> tuple[str, str]:
        """The sub and the sid of the token."""
        claims = verified_owner(context, request).claims
        if "sid" not in claims or not await own.vouched(claims):
            raise TokenRejected("session_gone")
        return claims["sub"], claims["sid"]

    @router.get("", **documented(SessionPage, caller=USER))
    async def sessions(
        request: Request, limit: Limit = 50, cursor: Cursor | None = None
    ) -> JSONResponse:
        """A page of the user's sessions, newest first."""
        sub, sid = await caller(request)
        page = await own.page(sub, limit=limit, cursor=cursor or "")
        body: dict[str, Any] = {"sessions": [_members(view, sid) for view in page.sessions]}
        if page.cursor:
            body["cursor"] = page.cursor
        return JSONResponse(body)

    @router.delete("", **commits(caller=USER))
    async def end_others(request: Request, all_but: Except) -> JSONResponse:
        """End every session but this one."""
        sub, sid = await caller(request)
        emission = await own.end_others(sub, sid, bound_s=context.bound_s())
        if emission is None:
            return JSONResponse({"event_id": None, "status": "committed"})
        return await commit_answer(context, emission)

    @router.delete("/{sid}", **commits(caller=USER, errors=(404,)))
    async def end(sid: Sid, request: Request) -> JSONResponse:
        """End one session of the user's, be it this one."""
        sub, _ = await caller(request)
        return await commit_answer(context, await own.end(sub, sid, bound_s=context.bound_s()))

    return router


def _members(view: SessionView, current: str) -> dict[str, Any]:
    return {
        "id": view.sid,
        "device_name": view.device,
        "created": view.created,
        "last_seen": view.seen,
        "address": view.address,
        "current": view.sid == current,
    }
