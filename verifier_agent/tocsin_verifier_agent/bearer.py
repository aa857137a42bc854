"""What every adapter answers: RFC 6750, with one uniform text for every bad token."""

from collections.abc import Mapping
from dataclasses import dataclass

from tocsin_schemas.errors import AgentStale

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


def stale(error: AgentStale) -> Refusal:
    """503: nobody can say whether the token is good."""
    return Refusal(503, UNAVAILABLE, str(error), {"Retry-After": str(error.retry_after)})


def token_of(authorization: str | None) -> str | None:
    """The token of an Authorization header (RFC 6750 section 2.1), or None without one."""
    if authorization is None:
        return None
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        return None
    return token
