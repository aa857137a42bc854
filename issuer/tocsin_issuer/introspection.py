"""What the issuer says of a token (RFC 7662): the slow truth, for whoever asks it.

A token is active if the issuer's own verifier accepts it now, and if another one could be derived
from it. The verifier may lag behind a ledger that another replica writes, so Redis is asked, where
revocations are accepted: whatever ends a token, a session, an account or a key counts there at
once. What a stolen key signs is not active either, since nothing like it is in the register.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from msgspec import UNSET, to_builtins

from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.minting import Derivation
from tocsin_issuer.store.outbox import OutboxEntry
from tocsin_revocation_bus.core.state import State, TokenFacts
from tocsin_schemas import jws
from tocsin_schemas.claims import EXP_LEEWAY_S
from tocsin_schemas.errors import AgentStale, LedgerRejected, RequestRejected, TokenRejected
from tocsin_schemas.record import Record
from tocsin_verifier_agent.core.claims_check import facts_from
from tocsin_verifier_agent.core.verified import Verified

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
    if not await _stands(context, verified, token):
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


async def _stands(context: IssuerContext, verified: Verified, text: str) -> bool:
    """Whether Redis knows nothing against the token, its first subject token, its session, and all
    who have a hand in it: what it would say if the token's own client traded it.
    """
    token = verified.token
    client_id = "" if token.client_id is UNSET else token.client_id
    act = {"sub": client_id} if token.act is UNSET else to_builtins(token.act)
    derivation = Derivation.of(verified, text, act)
    in_leeway = replace(derivation, not_after=token.exp + EXP_LEEWAY_S)
    try:
        await context.minter.check_parent(token.sub, client_id, verified.session_id, in_leeway)
    except RequestRejected:
        return False
    return True


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
