"""A request to revoke, the same over HTTP and over NATS."""

from collections.abc import Callable
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel, model_validator

from tocsin_issuer.revoking.target import Target
from tocsin_schemas.errors import RequestRejected, TokenRejected
from tocsin_schemas.jws import MAX_JWS_LENGTH
from tocsin_verifier_agent.core.confirmation import NOT_USED, Certificate
from tocsin_verifier_agent.core.verified import Verified

REASON_PATTERN: Final = "^[a-z0-9-]{1,48}$"
"""A code: names and free text stay out of a chain that nobody can edit."""

MAX_EXP: Final = 2**40

Identifier = Annotated[str, Field(min_length=1, max_length=255)]
IssuerName = Annotated[str, Field(min_length=1, max_length=1024)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    reason: Annotated[str, Field(pattern=REASON_PATTERN)] | None = None
    """Who wants it stands in its place where there is none: ``admin``, or ``policy``."""

    dry_run: bool = False
    """Only say how much it would hit."""


class _Named(_Request):
    """``iss`` is whose it is; ours where it is missing."""

    iss: IssuerName | None = None


class ByToken(_Named):
    """A token by its text, which must be one of ours, or by ``jti`` and ``exp``."""

    by: Literal["token"]
    token: Annotated[str | None, Field(max_length=MAX_JWS_LENGTH, repr=False)] = None
    jti: Identifier | None = None
    exp: Annotated[int, Field(gt=0, lt=MAX_EXP)] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> "ByToken":
        by_name = self.jti is not None and self.exp is not None
        nothing_more = self.jti is None and self.exp is None and self.iss is None
        if not (by_name if self.token is None else nothing_more):
            raise ValueError("either token, or jti and exp")
        return self


class BySession(_Named):
    """A session."""

    by: Literal["session"]
    sid: Identifier


class BySubject(_Named):
    """Everything of a subject, so far."""

    by: Literal["subject"]
    sub: Identifier


class ByClient(_Named):
    """Everything of a client, so far."""

    by: Literal["client"]
    client_id: Identifier


class ByKey(_Request):
    """A foreign issuer's key, by its RFC 7638 thumbprint; ours are under ``/admin/keys``."""

    by: Literal["key"]
    iss: IssuerName
    kid: Annotated[str, Field(pattern="^[A-Za-z0-9_-]{43}$")]


class OfAll(_Request):
    """Everything of everybody and of every issuer, so far."""

    by: Literal["all"]


class RevocationRequest(
    RootModel[
        Annotated[
            ByToken | BySession | BySubject | ByClient | ByKey | OfAll, Field(discriminator="by")
        ]
    ]
):
    """What to revoke."""

    def target(self, our_iss: str, verify_own: Callable[[str, Certificate], Verified]) -> Target:
        """What is meant; of a token's text always the jti and exp that are signed in it, since the
        text itself is malleable.

        Raises:
            RequestRejected: ``not_a_token_of_ours``.
        """
        wanted = self.root
        match wanted:
            case ByToken(token=str(text)):
                try:
                    token = verify_own(text, NOT_USED).token
                except TokenRejected:
                    text = "no good token of this issuer"
                    raise RequestRejected("not_a_token_of_ours", text) from None
                return Target("token", str(token.jti), token.exp)
            case ByToken():
                named = wanted.jti or "", wanted.exp or 0
                return Target("token", *named, iss=_foreign(wanted.iss, our_iss))
            case BySession():
                return Target("session", wanted.sid, iss=_foreign(wanted.iss, our_iss))
            case BySubject():
                return Target("subject", wanted.sub, iss=_foreign(wanted.iss, our_iss))
            case ByClient():
                return Target("client", wanted.client_id, iss=_foreign(wanted.iss, our_iss))
            case ByKey():
                return Target("key", wanted.kid, iss=wanted.iss)
            case OfAll():
                return Target("all")


def _foreign(iss: str | None, our_iss: str) -> str | None:
    """None is ours, by its name as well as without one."""
    return None if iss == our_iss else iss
