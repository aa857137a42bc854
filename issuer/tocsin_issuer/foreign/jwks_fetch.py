"""One fetch of a JWK Set, bounded in every direction."""

from __future__ import annotations

import asyncio
import ssl

import httpx

from tocsin_issuer.foreign.jwks_uri import check_jwks_uri
from tocsin_issuer.foreign.key_set import ImportRejected
from tocsin_schemas.errors import ConfigurationError

MAX_BYTES = 512 * 1024
DEADLINE_S = 10.0
_HEADERS = {
    "Accept": "application/jwk-set+json, application/json",
    "Accept-Encoding": "identity",  # a small body must not become a large one
    "User-Agent": "tocsin-issuer",
}


class JwksFetch:
    """Fetches directly: no redirect, no cookie, no proxy and no password from the environment.

    ``tls`` decides which certificates are good, by default the system's store (OpenSSL's
    ``SSL_CERT_FILE`` names another). ``deadline_s`` is for the whole answer, in seconds: a provider
    that sends a byte now and then gains nothing.
    """

    def __init__(
        self, tls: ssl.SSLContext | None = None, *, deadline_s: float = DEADLINE_S
    ) -> None:
        self._tls = ssl.create_default_context() if tls is None else tls
        self._deadline_s = deadline_s

    async def __call__(self, uri: str) -> bytes:
        """The body of the answer.

        Raises:
            ImportRejected: ``jwks_uri``, ``timeout``, ``unreachable`` (a bad certificate too),
                ``redirect``, ``status``, ``content_encoding`` or ``too_large``.
        """
        try:
            check_jwks_uri(uri)
        except ConfigurationError as error:
            raise ImportRejected(error.code) from None
        try:
            async with asyncio.timeout(self._deadline_s):
                return await self._get(uri)
        except (TimeoutError, httpx.TimeoutException):
            raise ImportRejected("timeout") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError):
            raise ImportRejected("unreachable") from None

    async def _get(self, uri: str) -> bytes:
        """A connection of its own: names are looked up anew, and nothing is kept."""
        async with (
            httpx.AsyncClient(
                verify=self._tls, trust_env=False, timeout=self._deadline_s, headers=_HEADERS
            ) as client,
            client.stream("GET", uri, follow_redirects=False) as answer,
        ):
            if 300 <= answer.status_code < 400:
                raise ImportRejected("redirect")
            if answer.status_code != 200:
                raise ImportRejected("status")
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise ImportRejected("content_encoding")
            body = bytearray()
            async for piece in answer.aiter_raw():
                body += piece
                if len(body) > MAX_BYTES:
                    raise ImportRejected("too_large")
            return bytes(body)
