"""Public keys and metadata."""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import JSONResponse, Response

from tocsin_issuer.http.answers import KeySet, Metadata
from tocsin_issuer.http.client_assertion import ALGORITHMS
from tocsin_issuer.http.client_authentication import methods
from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.http.documented import ANYBODY, documented, other_media
from tocsin_issuer.tls.files import TlsFiles
from tocsin_schemas.token_exchange import GRANT_TYPE

_JWK_SET: Final = "application/jwk-set+json"
_PEM: Final = "application/x-pem-file"
# A standby key is published long before it signs, so a cached set is never short of a key.
_CACHE: Final = {"Cache-Control": "public, max-age=300"}


def well_known_router(context: IssuerContext) -> APIRouter:
    """``/.well-known/*``."""
    router = APIRouter(prefix="/.well-known")
    config = context.config

    @router.get("/jwks.json", **other_media(_JWK_SET, KeySet.model_json_schema()))
    async def jwks() -> JSONResponse:
        """The token keys as a JWK Set (RFC 7517)."""
        return JSONResponse(context.keys.jwks(), headers=_CACHE, media_type=_JWK_SET)

    @router.get("/jwks.pem", **other_media(_PEM, {"type": "string"}))
    async def pems() -> Response:
        """The same keys as PEM."""
        return Response(context.keys.pems(), headers=_CACHE, media_type=_PEM)

    @router.get("/oauth-authorization-server", **documented(Metadata, caller=ANYBODY))
    async def metadata() -> JSONResponse:
        """The server's metadata (RFC 8414 section 2)."""
        members = {
            "issuer": config.iss,
            "token_endpoint": f"{config.base_url}/oauth/token",
            "jwks_uri": f"{config.base_url}/.well-known/jwks.json",
            "response_types_supported": [],
            "grant_types_supported": ["refresh_token", "client_credentials"],
            **_authentication("token", (*methods(config.public_tls), "none")),
            **_binding(config.public_tls),
        }
        return JSONResponse(members, headers=_CACHE)

    of_issuer = _path_of(config.iss)
    if of_issuer:

        @router.get("/oauth-authorization-server/{path:path}", include_in_schema=False)
        async def metadata_by_path(path: str) -> JSONResponse:
            """The same, where RFC 8414 section 3.1 looks for that of a name with a path."""
            if path != of_issuer:
                raise HTTPException(404)
            return await metadata()

    return router


def _path_of(iss: str) -> str:
    """The path of a name that is a URL, without slashes at either end; '' where it has none."""
    url = urlsplit(iss)
    return unquote(url.path).strip("/") if url.netloc else ""


def internal_metadata_router(context: IssuerContext) -> APIRouter:
    """``/.well-known/oauth-authorization-server`` as far as the internal listener goes.

    Where no ``internal_url`` is configured, its endpoints stand under the URL that the caller has
    come by: it tells the caller alone, and is not to be cached. The keys are where everybody finds
    them. Its ``issuer`` is that of our tokens, so a client is given this document and does not
    discover it (RFC 8414 section 3.3).
    """
    router = APIRouter(prefix="/.well-known")
    config = context.config

    @router.get("/oauth-authorization-server", **documented(Metadata, caller=ANYBODY))
    async def metadata(request: Request) -> JSONResponse:
        """The server's metadata (RFC 8414 section 2)."""
        base = (config.internal_url or str(request.base_url)).rstrip("/")
        members: dict[str, Any] = {
            "issuer": config.iss,
            "jwks_uri": f"{config.base_url}/.well-known/jwks.json",
            "response_types_supported": [],
            "grant_types_supported": [GRANT_TYPE],
        }
        confidential = methods(config.internal_tls)
        for endpoint, path, ways in (
            ("token", "token", confidential),
            ("revocation", "revoke", (*confidential, "none")),
            ("introspection", "introspect", confidential),
        ):
            members[f"{endpoint}_endpoint"] = f"{base}/oauth/{path}"
            members |= _authentication(endpoint, ways)
        members |= _binding(config.internal_tls)
        return JSONResponse(members)

    return router


def _binding(tls: TlsFiles | None) -> dict[str, bool]:
    """RFC 8705 section 3.3: who authenticates by a certificate gets tokens that are bound to it."""
    if "tls_client_auth" not in methods(tls):
        return {}
    return {"tls_client_certificate_bound_access_tokens": True}


def _authentication(endpoint: str, methods: Sequence[str]) -> dict[str, Any]:
    """RFC 8414 asks for the algorithms wherever ``private_key_jwt`` is among the methods."""
    return {
        f"{endpoint}_endpoint_auth_methods_supported": list(methods),
        f"{endpoint}_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
    }
