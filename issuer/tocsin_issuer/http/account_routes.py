"""``/admin/users`` and ``/admin/clients``: create, list, disable, reset, delete.

Whoever may reset a password may log in with it. So an operator gives an account no administrative
permission that they lack themselves, and takes over none that has one.
"""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated, Any, Final, Literal, Self

import orjson
from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.responses import JSONResponse

from tocsin_issuer.http.answers import (
    ClientPage,
    CommitAnswer,
    MadeClient,
    NamedClient,
    NamedUser,
    RenewedSecret,
    UserPage,
)
from tocsin_issuer.http.bearer import require_operator
from tocsin_issuer.http.commit import commit_answer
from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.http.documented import OPERATOR, commits, documented
from tocsin_issuer.http.errors import InsufficientScope
from tocsin_issuer.http.strict_body import StrictJsonRoute
from tocsin_issuer.store.account_endings import AccountEndings
from tocsin_issuer.store.account_list import AccountList
from tocsin_issuer.store.passwords import MAX_PASSWORD_LENGTH
from tocsin_issuer.store.users import MAX_NAME_LENGTH, UserStore
from tocsin_issuer.tls.certificate_name import KINDS, CertificateName
from tocsin_issuer.tls.certificate_name import MAX_LENGTH as MAX_CERTIFICATE_NAME
from tocsin_schemas.errors import RequestRejected

ADMINISTRATIVE: Final = frozenset(
    f"{what}:{verb}"
    for what in ("users", "clients", "keys", "revocations", "issuers", "policy", "audit")
    for verb in ("read", "write")
) | {"tokens:introspect", "tokens:exchange"}

_UNKNOWN: Final = (404, 429)  # or ended too often within a second

Id = Annotated[str, Path(min_length=1, max_length=255)]
Limit = Annotated[int, Query(ge=1, le=200)]
After = Annotated[str, Query(max_length=255)]
Name = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[!-~]+$")]
Names = Annotated[tuple[Name, ...], Field(max_length=64, strict=False)]
CertificateText = Annotated[str, Field(min_length=1, max_length=MAX_CERTIFICATE_NAME)]
Password = Annotated[str, Field(min_length=1, max_length=MAX_PASSWORD_LENGTH, repr=False)]
AuthMethod = Literal["client_secret_basic", "private_key_jwt"]
_BY_DEFAULT: Final = "client_secret_basic"
_WITH_KEYS: Final = "private_key_jwt"


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class NewUser(_Body):
    """A user and what tokens may say of them."""

    username: Annotated[str, Field(min_length=1, max_length=MAX_NAME_LENGTH)]
    password: Password
    role: Name | None = None
    perms: Names = ()


class NewPassword(_Body):
    """A password in place of the one before."""

    password: Password


class NewClient(_Body):
    """A confidential client and what it may ask for; names as in RFC 7591 section 2.

    With ``private_key_jwt`` its public keys come along, by value: none are ever fetched. With one
    of the names of RFC 8705 section 2.1.2 it authenticates by a certificate that carries it.
    """

    client_id: Name
    audiences: Annotated[Names, Field(min_length=1)]
    scopes: Names = ()
    token_endpoint_auth_method: AuthMethod = _BY_DEFAULT
    jwks: dict[str, Any] | None = None
    tls_client_auth_subject_dn: CertificateText | None = None
    tls_client_auth_san_dns: CertificateText | None = None
    tls_client_auth_san_uri: CertificateText | None = None
    tls_client_auth_san_ip: CertificateText | None = None
    tls_client_auth_san_email: CertificateText | None = None

    def certificate_name(self) -> CertificateName | None:
        """The name that its certificate must carry.

        Raises:
            RequestRejected: ``client_certificate_name`` for a malformed one, or for two.
        """
        found = [
            CertificateName.parse(kind, text)
            for kind in KINDS
            if (text := getattr(self, f"tls_client_auth_{kind}")) is not None
        ]
        if len(found) > 1:
            raise RequestRejected("client_certificate_name", "a certificate has one name to carry")
        return found[0] if found else None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.jwks is not None) != (self.token_endpoint_auth_method == _WITH_KEYS):
            raise ValueError("jwks and private_key_jwt go together")
        return self


def account_router(
    context: IssuerContext, users: UserStore, accounts: AccountEndings, listed: AccountList
) -> APIRouter:
    """``users:read`` and ``clients:read`` look, ``users:write`` and ``clients:write`` change."""
    router = APIRouter(prefix="/admin", route_class=StrictJsonRoute)

    @router.get("/users", **documented(UserPage, caller=OPERATOR))
    async def list_users(request: Request, limit: Limit = 100, after: After = "") -> JSONResponse:
        """A page of users, by sub."""
        require_operator(context, request, "users:read")
        return JSONResponse({"users": [asdict(one) for one in await listed.users(limit, after)]})

    @router.post("/users", **documented(NamedUser, 201, caller=OPERATOR, errors=(409,)))
    async def create_user(body: NewUser, request: Request) -> JSONResponse:
        """Create a user."""
        _may_grant(require_operator(context, request, "users:write").permissions, body.perms)
        sub = await users.create(body.username, body.password, role=body.role, perms=body.perms)
        return JSONResponse({"sub": sub}, 201)

    @router.post(
        "/users/{sub}/password",
        **commits(caller=OPERATOR, errors=_UNKNOWN),
    )
    async def change_password(sub: Id, body: NewPassword, request: Request) -> JSONResponse:
        """Give a user another password, and end all that was got with the old one."""
        await _user_within(request, sub)
        return await commit_answer(context, await accounts.change_password(sub, body.password))

    @router.post(
        "/users/{sub}/{what}",
        **commits(CommitAnswer | NamedUser, caller=OPERATOR, errors=_UNKNOWN),
    )
    async def switch_user(
        sub: Id, what: Literal["disable", "enable"], request: Request
    ) -> JSONResponse:
        """Disable a user and end everything of theirs; or let them log in again."""
        await _user_within(request, sub)
        if what == "enable":
            await users.set_disabled(sub, False)
            return JSONResponse({"sub": sub})
        return await commit_answer(context, await accounts.disable_user(sub))

    @router.delete("/users/{sub}", **commits(caller=OPERATOR, errors=_UNKNOWN))
    async def delete_user(sub: Id, request: Request) -> JSONResponse:
        """Forget a user, and end everything of theirs."""
        await _user_within(request, sub)
        return await commit_answer(context, await accounts.delete_user(sub))

    @router.get("/clients", **documented(ClientPage, caller=OPERATOR))
    async def list_clients(request: Request, limit: Limit = 100, after: After = "") -> JSONResponse:
        """A page of clients, by id."""
        require_operator(context, request, "clients:read")
        page = [asdict(one) for one in await listed.clients(limit, after)]
        return JSONResponse({"clients": page})

    @router.post("/clients", **documented(MadeClient, 201, caller=OPERATOR, errors=(409,)))
    async def create_client(body: NewClient, request: Request) -> JSONResponse:
        """Create a client. Its secret, if it gets one, is shown this once."""
        _may_grant(require_operator(context, request, "clients:write").permissions, body.scopes)
        what = (body.client_id, body.audiences, body.scopes)
        name = body.certificate_name()
        if name is not None:
            await context.clients.create_with_certificate(*what, name=name)
            return JSONResponse({"client_id": body.client_id}, 201)
        made = {
            "client_id": body.client_id,
            "token_endpoint_auth_method": body.token_endpoint_auth_method,
        }
        if body.jwks is None:
            made["client_secret"] = await context.clients.create(*what)
        else:
            await context.clients.create_with_keys(*what, jwks=body.jwks)
        return JSONResponse(made, 201)

    @router.post(
        "/clients/{client_id}/secret",
        **commits(RenewedSecret, caller=OPERATOR, errors=_UNKNOWN),
    )
    async def rotate_secret(client_id: Id, request: Request) -> JSONResponse:
        """Replace a client's secret, and end all that was got with the old one."""
        await _client_within(request, client_id)
        secret, emission = await accounts.rotate_client_secret(client_id)
        answer = await commit_answer(context, emission)
        members = orjson.loads(bytes(answer.body)) | {"client_secret": secret}
        return JSONResponse(members, answer.status_code)

    @router.post(
        "/clients/{client_id}/{what}",
        **commits(CommitAnswer | NamedClient, caller=OPERATOR, errors=_UNKNOWN),
    )
    async def switch_client(
        client_id: Id, what: Literal["disable", "enable"], request: Request
    ) -> JSONResponse:
        """Disable a client and end everything of it; or let it ask for tokens again."""
        await _client_within(request, client_id)
        if what == "enable":
            await context.clients.set_disabled(client_id, False)
            return JSONResponse({"client_id": client_id})
        return await commit_answer(context, await accounts.disable_client(client_id))

    async def _user_within(request: Request, sub: str) -> None:
        held = require_operator(context, request, "users:write").permissions
        user = await listed.user(sub)
        if user is None:
            raise RequestRejected("user_unknown", "there is no such user", status=404)
        _may_grant(held, user.perms)

    async def _client_within(request: Request, client_id: str) -> None:
        held = require_operator(context, request, "clients:write").permissions
        client = await listed.client(client_id)
        if client is None:
            raise RequestRejected("client_unknown", "there is no such client", status=404)
        _may_grant(held, client.scopes)

    return router


def _may_grant(held: frozenset[str], wanted: Iterable[str]) -> None:
    """Raises ``InsufficientScope`` for an administrative permission that the operator lacks."""
    for permission in wanted:
        if permission in ADMINISTRATIVE and permission not in held:
            raise InsufficientScope(permission)
