"""What the issuer says of a token (RFC 7662): the slow truth, for whoever asks it.

A token is active if the issuer's own verifier accepts it now, and if no revocation hits it that
has been accepted and waits for the ledger: those stand in the outbox.
"""

from collections.abc import Iterable
from typing import Any, Final

from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.store.outbox import OutboxEntry
from tocsin_revocation_bus.core.state import State, TokenFacts
from tocsin_schemas import jws
from tocsin_schemas.errors import AgentStale, LedgerRejected, TokenRejected
from tocsin_schemas.record import Record
from tocsin_verifier_agent.core.claims_check import facts_from

MAX_WAITING: Final = 512
"""Outbox entries that one answer looks through; with more of them nobody can say."""

_MEMBERS: Final = (
    "iss",
    "sub",
    "aud",
    "client_id",
    "cnf",
    "iat",
    "nbf",
    "exp",
    "jti",
    "scope",
    "sid",
    "act",
    "role",
    "perms",
)
_INACTIVE: Final[dict[str, Any]] = {"active": False}


async def introspect(context: IssuerContext, token: str) -> dict[str, Any]:
    """The members of the answer; ``{"active": false}`` and no more of any token that is not good.

    The outbox is read before the verifier is asked: what has left it by then, the verifier knows.

    Raises:
        AgentStale: the issuer cannot prove that it is up to date, so nobody can say (503).
    """
    waiting = await _waiting(context)
    try:
        verified = context.verify_any(token)
    except TokenRejected:
        return _INACTIVE
    if waiting:
        facts = facts_from(_kid_of(token), verified.token, own_jti=True)
        if _why_rejected(waiting, facts) is not None:
            return _INACTIVE
    claims = verified.claims
    members: dict[str, Any] = {name: claims[name] for name in _MEMBERS if name in claims}
    return {"active": True, "token_type": "Bearer", **members}


async def _waiting(context: IssuerContext) -> list[OutboxEntry]:
    try:
        entries = await context.outbox.read(MAX_WAITING + 1)
    except LedgerRejected as malformed:
        raise AgentStale(malformed.code) from None
    if len(entries) > MAX_WAITING:
        raise AgentStale("outbox_long")
    return entries


def _kid_of(token: str) -> str:
    """Of a token that was verified: our kids are thumbprints."""
    return jws.parse_header(token.partition(".")[0]).kid


def _why_rejected(waiting: Iterable[OutboxEntry], facts: TokenFacts) -> str | None:
    """What the ledger would say if all that waits were in it: the same fold, on a blank state."""
    state = State()
    events = tuple(event for entry in waiting for event in entry.events)
    state.fold(
        Record(
            iss="",
            iat=0,
            txn="",
            term=1,
            n=1,
            prev="",
            events=events,
            unknown=(),
            hash="",
            text="",
        )
    )
    return state.why_rejected(facts)
