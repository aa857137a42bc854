"""Revocation commands from other services (fraud detection, HR): authorised, carried out, answered.

Every command gets one answer, whatever it holds, and no answer or log repeats what it holds.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from msgspec import UNSET
from pydantic import ValidationError
from redis.exceptions import RedisError

from tocsin_issuer.audit_entry import OK, PENDING, AuditEntry
from tocsin_issuer.bus.messages import CommandAccepted, CommandRefused, RevocationCommand
from tocsin_issuer.revoking.revoker import Revoker
from tocsin_issuer.store.audit_log import AuditLog
from tocsin_issuer.store.command_records import CommandRecords
from tocsin_issuer.store.outbox import Emission, Outbox
from tocsin_schemas import strict_json
from tocsin_schemas.errors import (
    AgentStale,
    EncodingRejected,
    LedgerRejected,
    RequestRejected,
    TocsinError,
    TokenRejected,
)
from tocsin_verifier_agent.adapters.bearer import token_of_all
from tocsin_verifier_agent.core.confirmation import Certificate
from tocsin_verifier_agent.core.verified import Verified

MAX_COMMAND_BYTES: Final = 16 * 1024
SCOPE: Final = "revocations:write"
"""As over HTTP."""

INITIATOR: Final = "policy"
"""A service decides by rules of its own; which one it was is in the audit log."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandService:
    """``verify`` is the embedded agent's, for tokens that are meant for us; ``verify_own`` reads a
    token that is to be revoked. ``wall_clock`` is in seconds of UTC.

    Nobody sees here which certificate the sender has shown to the bus: a token that is bound to one
    is refused.
    """

    iss: str
    verify: Callable[[str, Certificate], Verified]
    verify_own: Callable[[str, Certificate], Verified]
    revoker: Revoker
    records: CommandRecords
    outbox: Outbox
    audit_log: AuditLog
    commit_wait_s: float
    wall_clock: Callable[[], float]

    async def answer(self, body: bytes, authorization: Sequence[str]) -> dict[str, Any]:
        """Carry out one command, and say what came of it. It never raises."""
        known: dict[str, str] = {}
        outcome = "server_error"
        try:
            accepted = await self._carry_out(body, authorization, known)
            outcome = OK if accepted.status == 200 else PENDING
            return accepted.model_dump()
        except Exception as error:
            refused = _refusal(error)
            outcome = error.code if isinstance(error, TocsinError) else refused.code
            return refused.model_dump()
        finally:
            await self.audit_log.write(
                AuditEntry(
                    time_ms=int(self.wall_clock() * 1000),
                    action="revocation.command",
                    outcome=outcome,
                    **known,  # type: ignore[arg-type]
                )
            )

    async def _carry_out(
        self, body: bytes, authorization: Sequence[str], known: dict[str, str]
    ) -> CommandAccepted:
        """``known`` is what the audit log may say, as far as it has been checked."""
        token = token_of_all(authorization)
        if token is None:
            raise RequestRejected("token_missing", "a bearer token is needed", status=401)
        sender = self.verify(token, None)
        if sender.token.act is not UNSET:  # whoever acts for a service is not that service
            raise TokenRejected("act")
        known["actor"], known["client_id"] = sender.subject, sender.client_id or ""
        if SCOPE not in sender.permissions:
            raise RequestRejected("insufficient_scope", f"this needs {SCOPE}", status=403)
        if len(body) > MAX_COMMAND_BYTES:
            raise RequestRejected("body_too_large", "the command is too large", status=413)
        members = strict_json.loads_object(body)
        command = RevocationCommand.model_validate(members)
        known["request_id"] = command.id
        emission = await self._once(command, members, sender.client_id or sender.subject, known)
        known["event_id"] = emission.event_id
        done = await self.outbox.committed(emission.entry_id, self.commit_wait_s)
        return CommandAccepted(status=200 if done else 202, event_id=emission.event_id)

    async def _once(
        self,
        command: RevocationCommand,
        members: dict[str, Any],
        client_id: str,
        known: dict[str, str],
    ) -> Emission:
        wanted = command.revoke.root
        if wanted.dry_run:
            raise RequestRejected("dry_run", "a command is carried out; counting is done over HTTP")
        digest = sha256(strict_json.dumps(members["revoke"])).hexdigest()
        before = await self.records.begin(client_id, command.id, digest)
        if before is not None:
            return before
        try:
            target = command.revoke.target(self.iss, self.verify_own)
            known["target"] = str(target)
            emission = await self.revoker.revoke(target, wanted.reason or INITIATOR, INITIATOR)
        except TocsinError:
            await self.records.forget(client_id, command.id)
            raise
        await self.records.done(client_id, command.id, digest, emission)
        return emission


def _refusal(error: Exception) -> CommandRefused:
    match error:
        case RequestRejected():
            return _refused(error.status, error.code, str(error))
        case TokenRejected():  # one text for every cause
            return _refused(401, "invalid_token", str(error))
        case AgentStale():
            return _refused(503, "agent_stale", "the issuer cannot prove that it is up to date")
        case EncodingRejected():
            return _refused(400, "json_malformed", "not one strict JSON object")
        case ValidationError():
            return _refused(400, "field_invalid", "the command lacks a field, or has a wrong one")
        case LedgerRejected():
            return _refused(400, "event_malformed", "an id or reason cannot stand in a record")
        case RedisError():
            _log.error("the store does not answer: %s", type(error).__name__)
            return _refused(503, "store_unavailable", "the issuer cannot answer now")
        case _:
            _log.error("a command failed: %s", type(error).__name__)
            return _refused(500, "server_error", "the issuer failed")


def _refused(status: int, code: str, text: str) -> CommandRefused:
    return CommandRefused(status=status, code=code, error_description=text)
