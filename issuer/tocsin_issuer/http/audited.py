"""What a request becomes in the audit log: begun where it arrives, added to where more is known."""

from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.responses import Response

from tocsin_issuer.audit_entry import OK, PENDING, AuditEntry
from tocsin_issuer.http.client_address import client_address
from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.http.request_id import request_id_of
from tocsin_revocation_bus.clocks import wall_clock
from tocsin_schemas.errors import TocsinError

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


@dataclass(slots=True)
class Draft:
    """The entry as far as it is known; '' is unknown. ``durable``: stored before the answer goes
    out. With ``silent`` only a refusal is entered.
    """

    action: str
    durable: bool = False
    silent: bool = False
    outcome: str = OK
    actor: str = ""
    client_id: str = ""
    target: str = ""
    event_id: str = ""
    count: int = 0


_CURRENT: Final[ContextVar[Draft | None]] = ContextVar("tocsin_audit_draft", default=None)


def about(**known: str) -> None:
    """Add to the entry of the request at hand, if there is to be one. Only what has been checked:
    a field that a caller filled with something else could be a secret.
    """
    draft = _CURRENT.get()
    if draft is not None:
        for name, value in known.items():
            setattr(draft, name, value)


def entered() -> None:
    """The request at hand is to be entered even where nothing is refused."""
    draft = _CURRENT.get()
    if draft is not None:
        draft.silent = False


async def audited(
    context: IssuerContext, request: Request, draft: Draft, handle: Handler
) -> Response:
    """Handle a request, and enter it into the log with what came of it."""
    token = _CURRENT.set(draft)
    try:
        response = await handle(request)
        if response.status_code == 202:
            draft.outcome = PENDING
        return response
    except TocsinError as error:
        draft.outcome = error.code
        raise
    except RequestValidationError:
        draft.outcome = "request_invalid"
        raise
    except BaseException:
        draft.outcome = "server_error"
        raise
    finally:
        _CURRENT.reset(token)
        entry = entry_of(context, request, draft)
        if draft.silent and not entry.refused:
            context.audit_log.pass_over(entry)
        elif draft.durable:
            await context.audit_log.write(entry)
        else:
            context.audit_log.note(entry)


def entry_of(context: IssuerContext, request: Request, draft: Draft) -> AuditEntry:
    """The entry as of now."""
    return AuditEntry(
        time_ms=int(wall_clock() * 1000),
        action=draft.action,
        outcome=draft.outcome,
        actor=draft.actor,
        client_id=draft.client_id,
        target=draft.target,
        event_id=draft.event_id,
        count=draft.count,
        request_id=request_id_of(request),
        address=client_address(request, context.config),
    )
