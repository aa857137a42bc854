"""200 means in the ledger, 202 means in the durable outbox."""

from starlette.responses import JSONResponse

from tocsin_issuer.http.audited import about
from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.store.outbox import Emission


async def commit_answer(context: IssuerContext, emission: Emission) -> JSONResponse:
    """Wait for the ledger, for as long as is configured, and say what is true."""
    about(event_id=emission.event_id)
    done = await context.outbox.committed(emission.entry_id, context.config.commit_wait_s)
    status = "committed" if done else "pending"
    return JSONResponse({"event_id": emission.event_id, "status": status}, 200 if done else 202)
