"""``/admin/users`` and ``/admin/clients``: create, list, disable, reset, delete.

Whoever may reset a password may log in with it. So an operator gives an account no administrative
permission that they lack themselves, and takes over none that has one.
"""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from tocsin_issuer.http.admin_calls import ADMINISTRATIVE
from tocsin_issuer.http.admin_route import admin_router, operator_of
from tocsin_issuer.http.answers import (
    ClientPage,
    MadeClient,
    NamedClient,
    NamedUser,
    RenewedSecret,
    UserPage,
)
from tocsin_issuer.http.audited import about
from tocsin_issuer.http.commit import commit_answer
from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.http.documented import OPERATOR, commits, documented
from tocsin_issuer.http.errors import InsufficientScope
from tocsin_issuer.store.account_endings import AccountEndings
from tocsin_issuer.store.account_list import AccountList, AccountPage
from tocsin_issuer.store.passwords import MAX_PASSWORD_LENGTH
from tocsin_issuer.store.users import MAX_NAME_LENGTH, UserStore
from tocsin_issuer.tls.certificate_name import KINDS, CertificateName
from tocsin_issuer.tls.certificate_name import MAX_LENGTH as MAX_CERTIFICATE_NAME
from tocsin_schemas.errors import RequestRejected

_UNKNOWN: Final = (404, 429)  # or ended too often within a second

Id = Annotated[str, Path(min_length=1, max_length=255)]
Limit = Annotated[int, Query(ge=1, le=200)]
Cursor = Annotated[str, Query(max_length=255)]
Name = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[!-~]+$")]
Names = Annotated[tuple[Name, ...], Field(max_length=64, strict=False)]
CertificateText = Annotated[str, Field(min_length=1, max_length=MAX_CERTIFICATE_NAME)]
Password = Annotated[str, Field(min_length=1, max_length=MAX_PASSWORD_LENGTH, repr=False)]


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

    With ``jwks``, its public keys by value, it signs assertions (``private_key_jwt``); none are
    ever fetched. With one of the names of RFC 8705 section 2.1.2 it authenticates by a certificate
    that carries it. With neither it gets a secret.
    """

    client_id: Name
    audiences: Annotated[Names, Field(min_length=1)]
    scopes: Names = ()
    jwks: dict[str, Any] | None = None
    tls_client_auth_subject_dn: CertificateText | None = None
    tls_client_auth_san_dns: CertificateText | None = None
    tls_client_auth_san_uri: CertificateText | None = None
    tls_client_auth_san_ip: CertificateText | None = None
    tls_client_auth_san_email: CertificateText | None = None

    def certificate_name(self) -> CertificateName | None:
        """The name that its certificate must carry.

        Raises:
            RequestRejected: ``client_certificate_name`` for a malformed one, for two, or for one
                beside keys.
        """
        found = [
            CertificateName.parse(kind, text)
            for kind in KINDS
            if (text := getattr(self, f"tls_client_auth_{kind}")) is not None
        ]
        if len(found) > 1 or (found and self.jwks is not None):
            text = "a client shows one certificate name, or has keys"
            raise RequestRejected("client_certificate_name", text)
        return found[0] if found else None


class NewKeys(_Body):
    """A client's public keys in place of its secret, or of the keys before (RFC 7517)."""

    jwks: dict[str, Any]


def account_router(
    context: IssuerContext, users: UserStore, accounts: AccountEndings, listed: AccountList
) -> APIRouter:
    """``users:read`` and ``clients:read`` look, ``users:write`` and ``clients:write`` change."""
    router = admin_router(context)

    @router.get("/users", **documented(UserPage, caller=OPERATOR))
    async def list_users(limit: Limit = 100, cursor: Cursor = "") -> JSONResponse:
        """A page of users, by sub."""
        return _page("users", await listed.users(limit, cursor))

    @router.post("/users", **documented(NamedUser, 201, caller=OPERATOR, errors=(409,)))
    async def create_user(body: NewUser, request: Request) -> JSONResponse:
        """Create a user."""
        _may_grant(request, body.perms)
        sub = await users.create(body.username, body.password, role=body.role, perms=body.perms)
        about(target=sub)
        return JSONResponse({"sub": sub}, 201)

    @router.post(
        "/users/{sub}/password",
        **commits(caller=OPERATOR, errors=_UNKNOWN),
    )
    async def change_password(sub: Id, body: NewPassword, request: Request) -> JSONResponse:
        """Give a user another password, and end all that was got with the old one."""
        await _user_within(request, sub)
        return await commit_answer(context, await accounts.change_password(sub, body.password))

    @router.post("/users/{sub}/disable", **commits(caller=OPERATOR, errors=_UNKNOWN))
    async def disable_user(sub: Id, request: Request) -> JSONResponse:
        """Disable a user, and end everything of theirs."""
        await _user_within(request, sub)
        return await commit_answer(context, await accounts.disable_user(sub))

    @router.post("/users/{sub}/enable", **documented(NamedUser, caller=OPERATOR, errors=(404,)))
    async def enable_user(sub: Id, request: Request) -> JSONResponse:
        """Let a user log in again."""
        await _user_within(request, sub)
        await users.set_disabled(sub, False)
        return JSONResponse({"sub": sub})

    @router.delete("/users/{sub}", **commits(caller=OPERATOR, errors=_UNKNOWN))
    async def delete_user(sub: Id, request: Request) -> JSONResponse:
        """Forget a user, and end everything of theirs."""
        await _user_within(request, sub)
        return await commit_answer(context, await accounts.delete_user(sub))

    @router.get("/clients", **documented(ClientPage, caller=OPERATOR))
    async def list_clients(limit: Limit = 100, cursor: Cursor = "") -> JSONResponse:
        """A page of clients, by id."""
        return _page("clients", await listed.clients(limit, cursor))

    @router.post("/clients", **documented(MadeClient, 201, caller=OPERATOR, errors=(409,)))
    async def create_client(body: NewClient, request: Request) -> JSONResponse:
        """Create a client. Its secret, where it has one, is shown this once."""
        _may_grant(request, body.scopes)
        what = (body.client_id, body.audiences, body.scopes)
        made = {"client_id": body.client_id}
        name = body.certificate_name()
        if name is not None:
            await context.clients.create_with_certificate(*what, name=name)
        elif body.jwks is not None:
            await context.clients.create_with_keys(*what, jwks=body.jwks)
        else:
            made["client_secret"] = await context.clients.create(*what)
        about(target=body.client_id)
        return JSONResponse(made, 201)

    @router.post(
        "/clients/{client_id}/secret",
        **commits(RenewedSecret, caller=OPERATOR, errors=_UNKNOWN),
    )
    async def rotate_secret(client_id: Id, request: Request) -> JSONResponse:
        """Replace a client's secret, or its keys, by a new secret, and end all that was got with
        the old ones.
        """
        await _client_within(request, client_id)
        secret, emission = await accounts.rotate_client_secret(client_id)
        answer = await commit_answer(context, emission)
        members = orjson.loads(bytes(answer.body)) | {"client_secret": secret}
        return JSONResponse(members, answer.status_code)

    @router.put(
        "/clients/{client_id}/keys",
        **commits(caller=OPERATOR, errors=_UNKNOWN),
    )
    async def replace_keys(client_id: Id, body: NewKeys, request: Request) -> JSONResponse:
        """Replace a client's keys, or its secret, by keys, and end all that was got with the old
        ones.
        """
        await _client_within(request, client_id)
        return await commit_answer(
            context, await accounts.replace_client_keys(client_id, body.jwks)
        )

    @router.post("/clients/{client_id}/disable", **commits(caller=OPERATOR, errors=_UNKNOWN))
    async def disable_client(client_id: Id, request: Request) -> JSONResponse:
        """Disable a client, and end everything of it."""
        await _client_within(request, client_id)
        return await commit_answer(context, await accounts.disable_client(client_id))

    @router.post(
        "/clients/{client_id}/enable",
        **documented(NamedClient, caller=OPERATOR, errors=(404,)),
    )
    async def enable_client(client_id: Id, request: Request) -> JSONResponse:
        """Let a client ask for tokens again."""
        await _client_within(request, client_id)
        await context.clients.set_disabled(client_id, False)
        return JSONResponse({"client_id": client_id})

    async def _user_within(request: Request, sub: str) -> None:
        user = await listed.user(sub)
        if user is None:
            raise RequestRejected("user_unknown", "there is no such user", status=404)
        about(target=sub)
        _may_grant(request, user.perms)

    async def _client_within(request: Request, client_id: str) -> None:
        client = await listed.client(client_id)
        if client is None:
            raise RequestRejected("client_unknown", "there is no such client", status=404)
        about(target=client_id)
        _may_grant(request, client.scopes)

    return router


def _page(name: str, page: AccountPage[Any]) -> JSONResponse:
    body: dict[str, Any] = {name: [asdict(one) for one in page.accounts]}
    if page.cursor:
        body["cursor"] = page.cursor
    return JSONResponse(body)


def _may_grant(request: Request, wanted: Iterable[str]) -> None:
    """Raises ``InsufficientScope`` for an administrative permission that the operator lacks."""
    held = operator_of(request).permissions
    for permission in wanted:
        if permission in ADMINISTRATIVE and permission not in held:
            raise InsufficientScope(permission)
