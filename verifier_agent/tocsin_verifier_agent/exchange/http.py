"""Exchanging at the token endpoint of the issuer's internal listener. Needs the extra ``http``."""

from __future__ import annotations

from typing import Any, Final

import httpx

from tocsin_schemas import strict_json
from tocsin_schemas.errors import EncodingRejected, ExchangeUnavailable
from tocsin_schemas.token_exchange import ACCESS_TOKEN_TYPE, GRANT_TYPE
from tocsin_verifier_agent import issuer_http
from tocsin_verifier_agent.client_tls import CurrentTls
from tocsin_verifier_agent.exchange.transport import (
    TIMEOUT_S,
    ExchangedToken,
    Question,
    exchanged,
    refused,
    unavailable,
)
from tocsin_verifier_agent.issuer_access import IssuerAccess

_LATER: Final = (429, 503)


class HttpExchange:
    """An :class:`ExchangeTransport`.

    Raises:
        ConfigurationError: as :meth:`ClientTls.context`.
    """

    def __init__(self, access: IssuerAccess) -> None:
        self._access = access
        self._tls = CurrentTls(access.tls)
        self._http: httpx.AsyncClient | None = None

    async def open(self) -> None:
        """Make ready, in the running event loop."""
        access = self._access
        secret = access.client_secret
        auth = None if secret is None else (access.client_id, secret)
        self._http = issuer_http.new_client(auth, self._tls.context, TIMEOUT_S)

    async def close(self) -> None:
        """Give up what is under way."""
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    async def exchange(self, question: Question) -> ExchangedToken:
        """Ask the issuer."""
        if self._http is None:
            raise ExchangeUnavailable("exchange_stopped")
        self._tls.refresh()
        try:
            answer, body = await issuer_http.post_form(
                self._http, self._access.url, self._form(question)
            )
        except (httpx.HTTPError, httpx.StreamError):
            raise ExchangeUnavailable("exchange_failed") from None
        if answer.status_code in _LATER:
            raise unavailable(answer.headers.get("retry-after"))
        if answer.status_code not in (200, 400, 401):
            raise ExchangeUnavailable("exchange_failed")
        members = _members(body)
        if answer.status_code != 200:
            raise refused(members.get("error"), members.get("code"))
        return exchanged(members, question)

    def _form(self, question: Question) -> dict[str, str]:
        form = {
            "grant_type": GRANT_TYPE,
            "subject_token": question.subject_token,
            "subject_token_type": ACCESS_TOKEN_TYPE,
            "audience": question.audience,
        }
        if question.scope is not None:
            form["scope"] = question.scope
        if self._access.client_secret is None:
            form["client_id"] = self._access.client_id  # RFC 8705 section 2
        if self._access.assertions is not None:
            form |= self._access.assertions.parameters()
        return form


def _members(body: bytes) -> dict[str, Any]:
    try:
        return strict_json.loads_object(body)
    except EncodingRejected:
        raise ExchangeUnavailable("exchange_answer") from None
