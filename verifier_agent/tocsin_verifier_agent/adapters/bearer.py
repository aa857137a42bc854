"""What every adapter answers: RFC 6750, with one uniform text for every bad token."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tocsin_schemas.errors import AgentStale, ExchangeUnavailable, TokenRejected

CHALLENGE = 'Bearer realm="tocsin"'
INVALID, UNAVAILABLE = "invalid_token", "temporarily_unavailable"
_CHALLENGE_INVALID = (
    f'{CHALLENGE}, error="{INVALID}", error_description="the access token is not valid"'
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that refuses: a status, an RFC 6750 error code, headers."""

    status: int
    error: str
    description: str
    headers: Mapping[str, str]

    def body(self) -> dict[str, str]:
        """The JSON members of the answer."""
        return {"error": self.error, "error_description": self.description}

    def content(self) -> bytes:
        """The body of an HTTP answer."""
        return json.dumps(self.body()).encode()

    def header_list(self) -> list[tuple[str, str]]:
        """All headers of an HTTP answer that has :meth:`content` as its body."""
        return [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(self.content()))),
            ("Cache-Control", "no-store"),
            *self.headers.items(),
        ]


class Refused(Exception):
    """Raised in a handler to end it; its adapter then answers with ``refusal``."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"{refusal.status} {refusal.error}")
        self.refusal = refusal


NO_TOKEN = Refusal(
    401, "invalid_request", "an access token is needed", {"WWW-Authenticate": CHALLENGE}
)
BAD_TOKEN = Refusal(
    401, INVALID, "the access token is not valid", {"WWW-Authenticate": _CHALLENGE_INVALID}
)


def insufficient_scope(needed: str) -> Refusal:
    """403: the token is good and does not allow this (RFC 6750 section 3.1)."""
    challenge = f'{CHALLENGE}, error="insufficient_scope", scope="{needed}"'
    return Refusal(
        403, "insufficient_scope", f"this needs {needed}", {"WWW-Authenticate": challenge}
    )


def stale(error: AgentStale | ExchangeUnavailable) -> Refusal:
    """503: nobody can say whether the token is good, or have another one for it."""
    return Refusal(503, UNAVAILABLE, str(error), {"Retry-After": str(error.retry_after)})


def refusal_of(error: TokenRejected | AgentStale) -> Refusal:
    """401 or 503."""
    return stale(error) if isinstance(error, AgentStale) else BAD_TOKEN


def token_of(authorization: str | None) -> str | None:
    """The token of an Authorization header (RFC 6750 section 2.1), or None without one.

    No token has a comma in it: there were several headers, and a server or proxy has made one of
    them (RFC 9110 section 5.3).
    """
    if authorization is None:
        return None
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token or "," in token:
        return None
    return token


def token_of_all(values: Sequence[str]) -> str | None:
    """The token where there is exactly one Authorization header; which of two counts is a guess."""
    return token_of(values[0]) if len(values) == 1 else None
