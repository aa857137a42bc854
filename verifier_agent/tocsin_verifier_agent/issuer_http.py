"""A client of the issuer's internal HTTP listener. It needs the extra ``http``."""

from __future__ import annotations

import ssl
from typing import Final
from urllib.parse import quote_plus

import httpx

MAX_ANSWER_BYTES: Final = 64 * 1024
# No compression: a small answer must not become a large one.
_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity"}


class AnswerTooLarge(httpx.StreamError):
    """An answer of more than ``MAX_ANSWER_BYTES``."""


def new_client(
    auth: tuple[str, str] | None, tls: ssl.SSLContext, timeout_s: float
) -> httpx.AsyncClient:
    """It goes nowhere but where it is sent: no redirects, no proxy of the environment's.

    ``auth`` is a client id and its secret.
    """
    # RFC 6749 section 2.3.1: form-encoded before they are joined by a colon.
    basic = None if auth is None else httpx.BasicAuth(*map(quote_plus, auth))
    return httpx.AsyncClient(
        auth=basic,
        headers=_HEADERS,
        verify=tls,
        timeout=timeout_s,
        follow_redirects=False,
        trust_env=False,
    )


async def post_form(
    client: httpx.AsyncClient, url: str, form: dict[str, str]
) -> tuple[httpx.Response, bytes]:
    """An answer and its body.

    Raises:
        httpx.HTTPError, httpx.StreamError: there is none, or it is too large.
    """
    async with client.stream("POST", url, data=form) as answer:
        body = bytearray()
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise AnswerTooLarge("too large")
    return answer, bytes(body)
