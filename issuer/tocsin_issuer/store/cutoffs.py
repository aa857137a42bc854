"""Cutoffs: everything of a subject, a client, or everybody, issued before now."""

from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final

from redis.asyncio import Redis

from tocsin_issuer.foreign.known_issuers import NO_FOREIGN_ISSUERS, KnownIssuers
from tocsin_issuer.store import event_text, names, scripts
from tocsin_issuer.store.event_text import Cutoff
from tocsin_issuer.store.outbox import Emission, Outbox
from tocsin_schemas.claims import rule_until
from tocsin_schemas.errors import RequestRejected
from tocsin_schemas.events import (
    MAX_CUTOFF_AHEAD_S,
    AllRevokedBefore,
    ClientRevokedBefore,
    Initiator,
    SubjectRevokedBefore,
)

# How far ahead of the clock a cutoff may lie, in seconds. Each one of a wider scope must clear the
# narrower ones: a user who goes on logging out everywhere must not stand in the way of an operator.
_SUBJECT_AHEAD_S: Final = MAX_CUTOFF_AHEAD_S - 2
_CLIENT_AHEAD_S: Final = MAX_CUTOFF_AHEAD_S - 1
_ALL_AHEAD_S: Final = MAX_CUTOFF_AHEAD_S

_FOR_EVER: Final = 0
_NOTHING_MINTED: Final = "tocsin:foreign-last-iat:"
_FOREIGN_SUBJECT: Final = "tocsin:foreign-cutoff:sub:"
_FOREIGN_CLIENT: Final = "tocsin:foreign-cutoff:client:"
_EPOCH_MARGIN_S: Final = 3600


class Cutoffs:
    """Each method raises ``RequestRejected`` ``cutoff_ahead`` (429) where cutoffs of one scope
    follow each other so fast that the next one would lie too far ahead: wait a second, and repeat.

    ``iss`` names one of the ``foreign`` issuers (``unknown_issuer``, 404, for any other); without
    it, subject and client are ours. A foreign issuer's sessions are its own business.
    """

    def __init__(
        self,
        redis: Redis,
        outbox: Outbox,
        *,
        max_token_life_s: int,
        session_absolute_s: int,
        foreign: KnownIssuers = NO_FOREIGN_ISSUERS,
        event_id: Callable[[], str] = event_text.new_event_id,
    ) -> None:
        self._script = scripts.EmittingScript(redis, "cutoff")
        self._outbox = outbox
        self._max_token_life_s = max_token_life_s
        self._foreign = foreign
        self._epoch_life_s = session_absolute_s + _EPOCH_MARGIN_S
        self._event_id = event_id

    async def subject(
        self, sub: str, reason: str, initiator: Initiator, iss: str | None = None
    ) -> Emission:
        """Revoke every token of ``sub`` so far, and end all of its sessions."""
        event = SubjectRevokedBefore(
            id=self._event_id(),
            reason=reason,
            initiator=initiator,
            sub=sub,
            before=0,
            until=0,
            iss=iss,
        )
        if iss is not None:
            return await self._run_foreign(event, iss, _FOREIGN_SUBJECT, sub)
        keys = [
            names.LAST_IAT_OF_SUBJECT + sub,
            names.CUTOFF_OF_SUBJECT + sub,
            names.EPOCH_OF_SUBJECT + sub,
        ]
        return await self._run(event, keys, _SUBJECT_AHEAD_S, self._epoch_life_s)

    async def client(
        self, client_id: str, reason: str, initiator: Initiator, iss: str | None = None
    ) -> Emission:
        """Revoke every token that was issued to ``client_id`` so far, or in which it acts, and end
        all sessions that were opened through it.
        """
        event = ClientRevokedBefore(
            id=self._event_id(),
            reason=reason,
            initiator=initiator,
            client_id=client_id,
            before=0,
            until=0,
            iss=iss,
        )
        if iss is not None:
            return await self._run_foreign(event, iss, _FOREIGN_CLIENT, client_id)
        keys = [
            names.LAST_IAT_OF_CLIENT + client_id,
            names.CUTOFF_OF_CLIENT + client_id,
            names.EPOCH_OF_CLIENT + client_id,
        ]
        return await self._run(event, keys, _CLIENT_AHEAD_S, self._epoch_life_s)

    async def everything(self, reason: str, initiator: Initiator) -> Emission:
        """Revoke every token of every issuer so far, and end every session."""
        event = AllRevokedBefore(
            id=self._event_id(), reason=reason, initiator=initiator, before=0, until=0
        )
        keys = [names.LAST_IAT_OF_ALL, names.CUTOFF_OF_ALL, names.EPOCH_OF_ALL]
        return await self._run(event, keys, _ALL_AHEAD_S)

    async def _run_foreign(self, event: Cutoff, iss: str, prefix: str, name: str) -> Emission:
        """By the foreign issuer's clock no cutoff of ours can be counted, so it is by ours alone;
        whoever compares allows for the difference. The issuer is hashed to one length: no name
        and issuer of one scope run together into those of another.
        """
        self._foreign.require(iss)
        scope = f"{sha256(iss.encode()).hexdigest()}:{name}"
        return await self._run(event, [_NOTHING_MINTED + scope, prefix + scope], _SUBJECT_AHEAD_S)

    async def _run(
        self, event: Cutoff, keys: list[str], ahead_s: int, epoch_life_s: int = _FOR_EVER
    ) -> Emission:
        answer: Any = await self._script(
            event.id,
            keys=[names.OUTBOX, *keys],
            args=[
                event_text.cutoff_opening(event),
                ahead_s,
                rule_until(max(self._max_token_life_s, self._foreign.longest_life_s())),
                event.id,
                epoch_life_s,
            ],
        )
        if answer[0] != "ok":
            raise RequestRejected(answer[0], "too many cutoffs at once; repeat later", status=429)
        self._outbox.announce()
        return Emission(event.id, answer[1])
