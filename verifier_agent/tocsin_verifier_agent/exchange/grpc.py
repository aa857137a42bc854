"""Exchanging by ``tocsin.auth.v1.Auth/ExchangeToken``. Needs the extra ``grpc``."""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import urlsplit

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]

from tocsin_schemas.auth_v1 import CODE_KEY, ERROR_KEY, RETRY_AFTER_KEY
from tocsin_schemas.auth_v1.auth_pb2 import ExchangeTokenRequest, ExchangeTokenResponse
from tocsin_schemas.auth_v1.auth_pb2_grpc import AuthStub
from tocsin_schemas.errors import ExchangeRefused, ExchangeUnavailable
from tocsin_schemas.token_exchange import ACCESS_TOKEN_TYPE
from tocsin_verifier_agent.client_tls import ClientTls, CurrentTls
from tocsin_verifier_agent.exchange.transport import (
    TIMEOUT_S,
    ExchangedToken,
    Question,
    exchanged,
    refused,
    unavailable,
)
from tocsin_verifier_agent.issuer_access import IssuerAccess

MAX_ANSWER_BYTES: Final = 64 * 1024
_REFUSALS: Final = frozenset(
    (
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
    )
)
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
    ("grpc.enable_http_proxy", 0),  # it goes nowhere but where it is sent
    ("grpc.enable_retries", 0),
    ("grpc.use_local_subchannel_pool", 1),  # no connection of another client's certificate
)


class GrpcExchange:
    """An :class:`ExchangeTransport`; the path of ``access.url`` does not count. A channel shows the
    certificate that it was made with, so a new one takes a new channel.

    Raises:
        ConfigurationError: as :meth:`ClientTls.context`.
    """

    def __init__(self, access: IssuerAccess) -> None:
        self._access = access
        self._tls = CurrentTls(access.tls)
        self._channel: grpc.aio.Channel | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Make ready, in the running event loop."""
        self._channel = self._new_channel()

    def _new_channel(self) -> grpc.aio.Channel:
        parts = urlsplit(self._access.url)
        target = parts.netloc if parts.port else f"{parts.netloc}:443"
        if parts.scheme == "https":
            credentials = _credentials(self._access.tls)
            return grpc.aio.secure_channel(target, credentials, options=_OPTIONS)
        return grpc.aio.insecure_channel(target, options=_OPTIONS)

    async def close(self) -> None:
        """Give up what is under way."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()
        await asyncio.gather(*self._closing)

    async def exchange(self, question: Question) -> ExchangedToken:
        """Ask the issuer."""
        if self._channel is None:
            raise ExchangeUnavailable("exchange_stopped")
        if self._tls.refresh():
            former, self._channel = self._channel, self._new_channel()
            closing = asyncio.create_task(former.close(TIMEOUT_S))  # calls under way finish
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        stub = AuthStub(self._channel)  # type: ignore[no-untyped-call]
        try:
            answer: ExchangeTokenResponse = await stub.ExchangeToken(
                self._request(question), timeout=TIMEOUT_S
            )
        except grpc.aio.AioRpcError as error:
            raise _refusal(error) from None
        members = {field.name: value for field, value in answer.ListFields()}
        return exchanged({"scope": "", **members}, question)

    def _request(self, question: Question) -> ExchangeTokenRequest:
        assertions = self._access.assertions
        return ExchangeTokenRequest(
            subject_token=question.subject_token,
            subject_token_type=ACCESS_TOKEN_TYPE,
            audience=[question.audience],
            scope=question.scope,
            client_id=self._access.client_id,
            client_secret=self._access.client_secret,
            **({} if assertions is None else assertions.parameters()),
        )


def _credentials(tls: ClientTls) -> grpc.ChannelCredentials:
    ca, key, certificate = (
        None if path is None else path.read_bytes() for path in (tls.ca, tls.key, tls.certificate)
    )
    return grpc.ssl_channel_credentials(ca, key, certificate)


def _refusal(error: grpc.aio.AioRpcError) -> ExchangeRefused | ExchangeUnavailable:
    said = dict(error.trailing_metadata() or ())
    if error.code() in _REFUSALS and ERROR_KEY in said:
        return refused(said[ERROR_KEY], said.get(CODE_KEY))
    if ERROR_KEY in said:
        return unavailable(said.get(RETRY_AFTER_KEY))
    return ExchangeUnavailable("exchange_failed")
