"""``/admin/revocations/bulk``: a stream of tokens by jti and exp, and a stream of progress."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from tocsin_issuer.audit_entry import OK, PENDING
from tocsin_issuer.http.admin_route import admin_router, operator_of
from tocsin_issuer.http.answers import BulkLine
from tocsin_issuer.http.audited import Draft, about, entry_of
from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.http.documented import OPERATOR, documented
from tocsin_issuer.http.progress_response import ProgressResponse
from tocsin_issuer.revoking.bulk import BulkRevocation
from tocsin_issuer.revoking.request import REASON_PATTERN
from tocsin_revocation_bus.clocks import wall_clock
from tocsin_schemas.errors import RequestRejected

BULK_PATH: Final = "/admin/revocations/bulk"
CONTENT_TYPES: Final = ("application/x-ndjson", "text/plain")

_LINES: Final = {"type": "string", "description": "On each line a jti and its exp."}
_OUTCOMES: Final = {"committed": OK, "pending": PENDING}

Reason = Annotated[str, Query(pattern=REASON_PATTERN)]
Iss = Annotated[str | None, Query(min_length=1, max_length=1024)]


def bulk_router(context: IssuerContext) -> APIRouter:
    """For ``revocations:write``. It reads the body itself, so no other limit may do so before."""
    router = admin_router(context)

    @router.post(
        "/revocations/bulk",
        response_class=ProgressResponse,
        **documented(
            BulkLine, caller=OPERATOR, errors=(404,), body=dict.fromkeys(CONTENT_TYPES, _LINES)
        ),
    )
    async def bulk(request: Request, reason: Reason = "admin", iss: Iss = None) -> Response:
        """Revoke what the lines name; the answer is 200, and its last line says how it went."""
        given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if given not in CONTENT_TYPES:
            text = f"the content type is one of {', '.join(CONTENT_TYPES)}"
            raise RequestRejected("content_type", text, status=415)
        work = BulkRevocation(
            revocations=context.revocations,
            outbox=context.outbox,
            reason=reason,
            iss=None if iss == context.config.iss else iss,
            stall_s=context.config.bulk_stall_s,
            wall_clock=wall_clock,
        )
        context.revocations.life_s(work.iss)  # an unknown issuer is refused before the stream
        about(target=_target(reason))
        body = _Body(request, context.config.bulk_max_bytes, context.config.body_timeout_s)
        return ProgressResponse(_told(context, request, work, body))

    return router


async def _told(
    context: IssuerContext, request: Request, work: BulkRevocation, body: "_Body"
) -> AsyncIterator[dict[str, Any]]:
    """What the caller is told; how it ended is in the audit log before the caller knows."""
    operator = operator_of(request)
    end = Draft(
        "revocation.bulk.end",
        outcome="interrupted",
        actor=operator.subject,
        client_id=operator.client_id or "",
        target=_target(work.reason),
    )
    try:
        async for one in work.run(body.chunks()):
            if "status" in one:
                await body.read_on()
                end.outcome = _OUTCOMES.get(one["status"]) or one["code"]
                end.count = work.progress.accepted
                await context.audit_log.write(entry_of(context, request, end))
            yield one
    finally:
        if end.outcome == "interrupted":
            end.count = work.progress.accepted
            context.audit_log.note(entry_of(context, request, end))


def _target(reason: str) -> str:
    return f"tokens, {reason}"


class _Body:
    """The request's body, up to a size, and with no long pause in it."""

    def __init__(self, request: Request, max_bytes: int, pause_s: float) -> None:
        self._stream = request.stream()
        self._left = max_bytes
        self._pause_s = pause_s

    async def chunks(self) -> AsyncIterator[bytes]:
        """Its pieces.

        Raises:
            RequestRejected: ``body_too_large`` (413), ``body_timeout`` (408), ``client_gone``.
        """
        while True:
            try:
                async with asyncio.timeout(self._pause_s):
                    chunk = await anext(self._stream)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise RequestRejected("body_timeout", "the body stands still", status=408) from None
            except ClientDisconnect:
                raise RequestRejected("client_gone", "the client has gone") from None
            self._left -= len(chunk)
            if self._left < 0:
                raise RequestRejected("body_too_large", "the body is too large", status=413)
            yield chunk

    async def read_on(self) -> None:
        """Read what is left and drop it: many clients look at the answer no sooner."""
        try:
            async for _ in self.chunks():
                pass
        except RequestRejected:
            return
