"""Errors as gRPC statuses.

The RFC's word and our stable code, which a status has no place for, go into the trailing metadata.
The details are a fixed text: nothing of the request is ever repeated in an answer.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import grpc  # type: ignore[import-untyped]
from redis.exceptions import RedisError

from tocsin_issuer.http.errors import error_of
from tocsin_issuer.store.throttle import Throttled
from tocsin_schemas.auth_v1 import CODE_KEY, ERROR_KEY, RETRY_AFTER_KEY
from tocsin_schemas.errors import AgentStale, RequestRejected

_BY_ERROR: Final[Mapping[str, grpc.StatusCode]] = {
    "invalid_client": grpc.StatusCode.UNAUTHENTICATED,
    "invalid_request": grpc.StatusCode.INVALID_ARGUMENT,
    "invalid_scope": grpc.StatusCode.PERMISSION_DENIED,
    "invalid_target": grpc.StatusCode.PERMISSION_DENIED,
    "unauthorized_client": grpc.StatusCode.PERMISSION_DENIED,
    "slow_down": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "temporarily_unavailable": grpc.StatusCode.UNAVAILABLE,
}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A status that is not OK; ``retry_after`` is in seconds."""

    error: str
    code: str
    details: str
    retry_after: int | None = None

    @property
    def status(self) -> grpc.StatusCode:
        """By the RFC's word; a defect of ours where that has no status."""
        return _BY_ERROR.get(self.error, grpc.StatusCode.INTERNAL)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The trailing metadata."""
        entries = ((ERROR_KEY, self.error), (CODE_KEY, self.code))
        if self.retry_after is None:
            return entries
        return (*entries, (RETRY_AFTER_KEY, str(self.retry_after)))


def refusal_of(error: Exception) -> Refusal:
    """What to answer. What nobody expected is logged, and its text stays with us."""
    match error:
        case Throttled():
            word = error_of(error.status, error.code)
            return Refusal(word, error.code, str(error), error.retry_after)
        case RequestRejected():
            word = error_of(error.status, error.code)
            return Refusal(word, error.code, str(error), 1 if error.status in (429, 503) else None)
        case AgentStale():
            return Refusal("temporarily_unavailable", "agent_stale", str(error), error.retry_after)
        case RedisError() | TimeoutError():
            _log.error("the store does not answer: %s", type(error).__name__)
            text = "the issuer cannot answer now"
            return Refusal("temporarily_unavailable", "store_unavailable", text, 1)
        case _:
            _log.error("a call failed", exc_info=error)
            return Refusal("server_error", "server_error", "the issuer failed")
