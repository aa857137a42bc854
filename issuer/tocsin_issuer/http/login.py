"""Logging in and out."""

import unicodedata
from typing import Annotated, Final

from fastapi import APIRouter, Request
from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from tocsin_issuer.endings import LOGOUT, LOGOUT_ALL, LOGOUT_OF_TOKEN
from tocsin_issuer.http.answers import SessionTokens
from tocsin_issuer.http.audited import about
from tocsin_issuer.http.audited_route import audited_route
from tocsin_issuer.http.bearer import verified_owner
from tocsin_issuer.http.client_address import client_address, source_of
from tocsin_issuer.http.commit import commit_answer
from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.http.documented import ANYBODY, USER, commits, documented
from tocsin_issuer.http.strict_body import StrictJsonRoute
from tocsin_issuer.http.token_answer import token_answer
from tocsin_issuer.store.passwords import MAX_PASSWORD_LENGTH
from tocsin_issuer.store.register import REFUSALS
from tocsin_issuer.store.users import MAX_NAME_LENGTH, normal_name
from tocsin_schemas.errors import RequestRejected, TokenRejected

DEVICE_ID: Final = r"^[A-Za-z0-9_-]{22,128}$"
"""At least 128 bits, in base64url; drawn at random by the client and kept by it."""


def _displayable(name: str) -> str:
    """Shown to the user among other names: no control or direction characters."""
    if not name.isprintable():
        raise ValueError("a character that is not shown")
    return unicodedata.normalize("NFC", name)


DeviceName = Annotated[str, Field(max_length=64), AfterValidator(_displayable)]


class LoginRequest(BaseModel):
    """``device_name`` (or ``device``) is a name that the user gives the session; ``device_id``
    binds it to the device, which must show it at each refresh. ``audience`` is the one that the
    session's tokens are for: one of the usual ones, or the issuer itself, for its admin API.
    """

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    username: Annotated[str, Field(min_length=1, max_length=MAX_NAME_LENGTH)]
    password: Annotated[str, Field(min_length=1, max_length=MAX_PASSWORD_LENGTH, repr=False)]
    device_name: Annotated[
        DeviceName, Field(validation_alias=AliasChoices("device_name", "device"))
    ] = ""
    device_id: Annotated[str | None, Field(pattern=DEVICE_ID, repr=False)] = None
    audience: Annotated[str, Field(min_length=1, max_length=1024)] | None = None


def login_router(context: IssuerContext) -> APIRouter:
    """``/v1/login``, ``/v1/logout`` and ``/v1/logout-all``."""
    actions = {"/v1/login": "login", "/v1/logout": "logout", "/v1/logout-all": "logout-all"}
    route_class = audited_route(context, actions, StrictJsonRoute)
    router = APIRouter(prefix="/v1", route_class=route_class)
    config = context.config

    @router.post("/login", **documented(SessionTokens, caller=ANYBODY, errors=(401, 429, 503)))
    async def login(body: LoginRequest, request: Request) -> JSONResponse:
        """Open a session. Every refusal is the same, in text and in the work that it costs; after
        too many of them passwords are not looked at for a while (429), whether or not there is such
        a user.
        """
        audiences = config.default_audiences if body.audience is None else (body.audience,)
        if not {*audiences} <= {config.iss, *config.default_audiences}:
            raise RequestRejected("invalid_target", "no session has that audience")
        address = client_address(request, config)
        attempt = await context.throttle.begin_login(normal_name(body.username), source_of(address))
        try:
            user = await context.users.authenticate(body.username, body.password)
        except RequestRejected:  # we are busy
            await context.throttle.withdraw(attempt)
            raise
        if user is None:  # a name that nobody has may be a password in the wrong field
            about(actor=await context.users.sub_of(body.username) or "")
            raise _refused()
        about(actor=user.sub, client_id=config.login_client_id)
        await context.throttle.succeeded(attempt)
        try:
            session = await context.sessions.create(
                user.sub,
                config.login_client_id,
                audiences,
                epoch=user.epoch,
                device=body.device_name,
                device_id=body.device_id,
                address=address,
                user_agent=request.headers.get("user-agent"),
            )
            about(target=session.sid)
            return await token_answer(context, session, user)
        except RequestRejected as rejected:
            if rejected.code not in REFUSALS:
                raise
            raise _refused() from None  # disabled, changed or logged out, in this very moment

    @router.post("/logout", **commits(caller=USER))
    async def logout(request: Request) -> JSONResponse:
        """End the session of the token, or revoke the token where it has no session."""
        claims = verified_owner(context, request).claims
        about(actor=claims["sub"], target=claims.get("sid", claims["jti"]))
        if "sid" in claims:
            emission = await context.revocations.revoke_sessions(
                [claims["sid"]], LOGOUT.reason, LOGOUT.initiator, bound_s=context.bound_s()
            )
        else:
            emission = await context.revocations.revoke_tokens(
                [(claims["jti"], claims["exp"])],
                LOGOUT_OF_TOKEN.reason,
                LOGOUT_OF_TOKEN.initiator,
            )
        return await commit_answer(context, emission)

    @router.post("/logout-all", **commits(caller=USER, errors=(429,)))
    async def logout_all(request: Request) -> JSONResponse:
        """End every session of the token's subject, and revoke every token of theirs so far."""
        verified = verified_owner(context, request)
        claims = verified.claims
        if "sid" in claims and not await context.sessions.own.vouched(claims):
            raise TokenRejected("session_gone")
        about(actor=verified.subject)
        emission = await context.cutoffs.subject(
            verified.subject, LOGOUT_ALL.reason, LOGOUT_ALL.initiator
        )
        return await commit_answer(context, emission)

    return router


def _refused() -> RequestRejected:
    return RequestRejected("invalid_grant", "user name or password are not valid", status=401)
