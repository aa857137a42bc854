"""Revoking tokens and sessions by name: logout, and what operators and services ask for."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from redis.asyncio import Redis

from tocsin_issuer.foreign.known_issuers import NO_FOREIGN_ISSUERS, KnownIssuers
from tocsin_issuer.store import event_text, names, scripts
from tocsin_issuer.store.outbox import Emission, Outbox
from tocsin_issuer.store.sessions import SESSION_RULE_MARGIN_S
from tocsin_schemas.claims import EXP_LEEWAY_S, rule_until
from tocsin_schemas.errors import RequestRejected
from tocsin_schemas.events import (
    Initiator,
    KeyRevoked,
    RevokedSession,
    RevokedToken,
    SessionsRevoked,
    TokensRevoked,
)

MAX_AT_ONCE: Final = 1000
_CLOCKS_APART_S: Final = 300


class Revocations:
    """Each writes to the outbox first, in the same step as everything else that it does.

    What is gone already can be revoked again: the event is the promise, not the deletion.
    ``iss`` names one of the ``foreign`` issuers; without it, what is revoked is ours. Of a foreign
    issuer we hold no session and no register, so the event is all there is.
    """

    def __init__(
        self,
        redis: Redis,
        outbox: Outbox,
        *,
        max_token_life_s: int,
        foreign: KnownIssuers = NO_FOREIGN_ISSUERS,
        event_id: Callable[[], str] = event_text.new_event_id,
    ) -> None:
        self._outbox = outbox
        self._max_token_life_s = max_token_life_s
        self._foreign = foreign
        self._event_id = event_id
        self._revoke_sessions = scripts.EmittingScript(redis, "revoke_sessions")
        self._revoke_tokens = scripts.EmittingScript(redis, "revoke_tokens")

    async def revoke_sessions(
        self,
        sids: Sequence[str],
        reason: str,
        initiator: Initiator,
        *,
        bound_s: int,
        iss: str | None = None,
    ) -> Emission:
        """End sessions, their refresh families, and all of their tokens.

        ``bound_s`` is B, the bound on enforcement, in seconds: the rules outlive it and every
        token that was minted meanwhile.

        Raises:
            RequestRejected: ``too_many`` (413) or ``unknown_issuer`` (404).
            LedgerRejected: ``event_malformed``: an id or reason that cannot stand in a record.
        """
        _check_number(sids)
        life_s = self.life_s(iss)
        event = SessionsRevoked(
            id=self._event_id(),
            reason=reason,
            initiator=initiator,
            sessions=tuple(RevokedSession(sid, 0, iss) for sid in sids),
        )
        keys = [names.OUTBOX]
        for sid in sids if iss is None else ():
            keys += [names.SESSION + sid, names.SESSION_TOKENS + sid]
        entry_id = await self._revoke_sessions(
            event.id,
            keys=keys,
            args=[
                event_text.sessions_opening(event),
                bound_s + life_s + SESSION_RULE_MARGIN_S,
                EXP_LEEWAY_S,
                names.DENIED,
                *(event_text.session_opening(sid, iss) for sid in sids),
            ],
        )
        self._outbox.announce()
        return Emission(event.id, str(entry_id))

    async def revoke_tokens(
        self,
        tokens: Sequence[tuple[str, int]],
        reason: str,
        initiator: Initiator,
        *,
        iss: str | None = None,
    ) -> Emission:
        """Revoke tokens, each given by its ``jti`` and its ``exp`` (seconds of UTC).

        Raises:
            RequestRejected: ``too_many`` (413), ``unknown_issuer`` (404), or ``exp_too_late``: no
                token lives that long, and the rule would never go.
            LedgerRejected: ``event_malformed``: an id or reason that cannot stand in a record.
        """
        _check_number(tokens)
        life_s = self.life_s(iss)
        rules = tuple(RevokedToken(jti, rule_until(exp), iss) for jti, exp in tokens)
        event = TokensRevoked(id=self._event_id(), reason=reason, initiator=initiator, tokens=rules)
        answer: Any = await self._revoke_tokens(
            event.id,
            keys=[names.OUTBOX, *(names.DENIED + rule.jti for rule in rules if iss is None)],
            args=[
                event_text.encode([event]),
                rule_until(life_s) + _CLOCKS_APART_S,
                *(rule.until for rule in rules),
            ],
        )
        if answer[0] != "ok":
            raise RequestRejected(answer[0], "no token of that issuer lives that long")
        self._outbox.announce()
        return Emission(event.id, answer[1])

    async def revoke_foreign_key(
        self, iss: str, kid: str, reason: str, initiator: Initiator
    ) -> Emission:
        """Revoke a foreign issuer's key by its thumbprint, for good and for every issuer that
        signs with it.

        Raises:
            RequestRejected: ``unknown_issuer`` (404) or ``key_is_ours`` (409).
        """
        self._foreign.require(iss)
        self._foreign.require_foreign_key(kid)
        return await self._outbox.emit(
            KeyRevoked(id=self._event_id(), reason=reason, initiator=initiator, kid=kid)
        )

    def life_s(self, iss: str | None) -> int:
        """The longest life of that issuer's tokens, in seconds; what others may sign is the
        policy's business, not ours.

        Raises:
            RequestRejected: ``unknown_issuer`` (404).
        """
        if iss is None:
            return self._max_token_life_s
        self._foreign.require(iss)
        return self._foreign.longest_life_s()


def _check_number(items: Sequence[object]) -> None:
    if not 0 < len(items) <= MAX_AT_ONCE:
        raise RequestRejected("too_many", "between 1 and 1,000 at once", status=413)
