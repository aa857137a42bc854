"""``/admin/revocations``: by token, session, subject, client, foreign key, or everything."""

from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, RootModel, model_validator
from starlette.responses import JSONResponse

from tocsin_issuer.http.bearer import require_operator
from tocsin_issuer.http.commit import commit_answer
from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.http.documented import OPERATOR, commits
from tocsin_issuer.http.strict_body import StrictJsonRoute
from tocsin_issuer.store.outbox import Emission
from tocsin_schemas.errors import RequestRejected, TokenRejected
from tocsin_schemas.jws import MAX_JWS_LENGTH
from tocsin_verifier_agent.core.confirmation import NOT_USED

Identifier = Annotated[str, Field(min_length=1, max_length=255)]
IssuerName = Annotated[str, Field(min_length=1, max_length=1024)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    reason: Annotated[str, Field(pattern="^[a-z0-9-]{1,48}$")] = "admin"


class _Named(_Request):
    """``iss`` is whose it is; ours where it is missing."""

    iss: IssuerName | None = None


class ByToken(_Named):
    """A token by its text, which must be one of ours, or by ``jti`` and ``exp``."""

    by: Literal["token"]
    token: Annotated[str | None, Field(max_length=MAX_JWS_LENGTH, repr=False)] = None
    jti: Identifier | None = None
    exp: Annotated[int, Field(gt=0, lt=2**40)] | None = None

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


def revocation_router(context: IssuerContext) -> APIRouter:
    """``POST /admin/revocations``, for ``revocations:write``."""
    router = APIRouter(prefix="/admin", route_class=StrictJsonRoute)

    @router.post("/revocations", **commits(caller=OPERATOR, errors=(404, 429)))
    async def revoke(body: RevocationRequest, request: Request) -> JSONResponse:
        """Revoke, and answer when it is in the ledger."""
        require_operator(context, request, "revocations:write")
        return await commit_answer(context, await _revoke(context, body))

    return router


async def _revoke(context: IssuerContext, body: RevocationRequest) -> Emission:
    match body.root:
        case ByToken() as wanted:
            return await context.revocations.revoke_tokens(
                [_named(context, wanted)], wanted.reason, "admin", iss=_foreign(context, wanted)
            )
        case BySession() as wanted:
            return await context.revocations.revoke_sessions(
                [wanted.sid],
                wanted.reason,
                "admin",
                bound_s=context.bound_s(),
                iss=_foreign(context, wanted),
            )
        case BySubject() as wanted:
            return await context.cutoffs.subject(
                wanted.sub, wanted.reason, "admin", iss=_foreign(context, wanted)
            )
        case ByClient() as wanted:
            return await context.cutoffs.client(
                wanted.client_id, wanted.reason, "admin", iss=_foreign(context, wanted)
            )
        case ByKey() as wanted:
            return await context.revocations.revoke_foreign_key(
                wanted.iss, wanted.kid, wanted.reason, "admin"
            )
        case OfAll() as wanted:
            return await context.cutoffs.everything(wanted.reason, "admin")


def _foreign(context: IssuerContext, wanted: _Named) -> str | None:
    """None is ours, by its name as well as without one."""
    return None if wanted.iss == context.config.iss else wanted.iss


def _named(context: IssuerContext, wanted: ByToken) -> tuple[str, int]:
    """Always jti and exp of a *verified* text: the text itself is malleable."""
    if wanted.jti is not None and wanted.exp is not None:
        return wanted.jti, wanted.exp
    try:
        claims = context.verify_own(wanted.token or "", NOT_USED).claims
    except TokenRejected:
        raise RequestRejected("not_a_token_of_ours", "no good token of this issuer") from None
    return claims["jti"], claims["exp"]
