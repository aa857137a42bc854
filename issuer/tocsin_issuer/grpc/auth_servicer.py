"""``tocsin.auth.v1.Auth``: the exchange over HTTP, in other clothes."""

from __future__ import annotations

import asyncio
from urllib.parse import unquote

import grpc.aio  # type: ignore[import-untyped]

from tocsin_issuer.audit_entry import OK, AuditEntry
from tocsin_issuer.exchange.exchanger import TokenExchange
from tocsin_issuer.exchange.request import TARGETS, ExchangeRequest, several_targets
from tocsin_issuer.grpc.errors import refusal_of
from tocsin_issuer.http.client_authentication import authenticate
from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.store.clients import invalid_client
from tocsin_revocation_bus.clocks import wall_clock
from tocsin_schemas.auth_v1.auth_pb2 import ExchangeTokenRequest, ExchangeTokenResponse
from tocsin_schemas.auth_v1.auth_pb2_grpc import AuthServicer
from tocsin_schemas.token_exchange import ACCESS_TOKEN_TYPE
from tocsin_verifier_agent.adapters import peer


class ExchangeServicer(AuthServicer):
    """Parses, authenticates, calls the core, and no more. A call has ``grpc_timeout_s``."""

    def __init__(self, context: IssuerContext, exchange: TokenExchange) -> None:
        self._context = context
        self._exchange = exchange

    async def ExchangeToken(
        self, request: ExchangeTokenRequest, context: grpc.aio.ServicerContext
    ) -> ExchangeTokenResponse:
        """Trade a caller's token for one with a single audience (RFC 8693)."""
        known: dict[str, str] = {}
        try:
            async with asyncio.timeout(self._context.config.grpc_timeout_s):
                response = await self._trade(request, context, known)
            self._enter(context, OK, known)
            return response
        except Exception as error:
            refusal = refusal_of(error)
        self._enter(context, refusal.code, known)
        await context.abort(refusal.status, refusal.details, refusal.metadata)
        raise AssertionError  # abort has raised

    async def _trade(
        self,
        request: ExchangeTokenRequest,
        context: grpc.aio.ServicerContext,
        known: dict[str, str],
    ) -> ExchangeTokenResponse:
        """``known`` is what the audit log may be told; it is added to as more has been checked."""
        form = _form_of(request)
        client = await authenticate(
            self._context,
            _authorization(context),
            form,
            peer.of_grpc(context),
            _address(context.peer()),
        )
        if client is None:
            raise invalid_client()
        known["client_id"] = client.client_id
        exchanged = await self._exchange.exchange(client, ExchangeRequest.from_form(form))
        known |= {"actor": exchanged.sub, "target": exchanged.audience}
        return ExchangeTokenResponse(
            access_token=exchanged.token,
            issued_token_type=ACCESS_TOKEN_TYPE,
            token_type="Bearer",  # noqa: S106 (a name)
            expires_in=exchanged.expires_in,
            scope=" ".join(exchanged.scopes),
        )

    def _enter(
        self, context: grpc.aio.ServicerContext, outcome: str, known: dict[str, str]
    ) -> None:
        entry = AuditEntry(
            time_ms=int(wall_clock() * 1000),
            action="token.exchange",
            outcome=outcome,
            address=_address(context.peer()),
            **known,  # type: ignore[arg-type]
        )
        self._context.audit_log.note(entry)


def _form_of(request: ExchangeTokenRequest) -> dict[str, str]:
    """The parameters by the names that they have in a form.

    Raises:
        RequestRejected: ``invalid_target`` where there are several.
    """
    form: dict[str, str] = {}
    for field, value in request.ListFields():
        values = value if field.name in TARGETS else [value]
        if len(values) > 1:
            raise several_targets()
        form[field.name] = values[0]
    return {name: value for name, value in form.items() if value}


def _address(peer_name: str) -> str:
    """Of ``ipv4:127.0.0.1:50000`` or ``ipv6:%5B::1%5D:50000``; '' of a Unix socket."""
    kind, _, rest = peer_name.partition(":")
    return unquote(rest.rpartition(":")[0]).strip("[]") if kind in ("ipv4", "ipv6") else ""


def _authorization(context: grpc.aio.ServicerContext) -> list[str]:
    metadata = context.invocation_metadata() or ()
    return [str(value) for key, value in metadata if key == "authorization"]
