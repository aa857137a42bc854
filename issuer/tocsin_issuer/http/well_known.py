"""Public keys and metadata."""

from typing import Final

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from tocsin_issuer.http.context import IssuerContext

# A standby key is published long before it signs, so a cached set is never short of a key.
_CACHE: Final = {"Cache-Control": "public, max-age=300"}


def well_known_router(context: IssuerContext) -> APIRouter:
    """``/.well-known/*``."""
    router = APIRouter(prefix="/.well-known")
    config = context.config

    @router.get("/jwks.json")
    async def jwks() -> JSONResponse:
        """The token keys as a JWK Set (RFC 7517)."""
        return JSONResponse(
            context.keys.jwks(), headers=_CACHE, media_type="application/jwk-set+json"
        )

    @router.get("/jwks.pem")
    async def pems() -> Response:
        """The same keys as PEM."""
        return Response(context.keys.pems(), headers=_CACHE, media_type="application/x-pem-file")

    @router.get("/oauth-authorization-server")
    async def metadata() -> JSONResponse:
        """The server's metadata (RFC 8414 section 2)."""
        return JSONResponse(
            {
                "issuer": config.iss,
                "token_endpoint": f"{config.base_url}/oauth/token",
                "jwks_uri": f"{config.base_url}/.well-known/jwks.json",
                "response_types_supported": [],
                "grant_types_supported": ["refresh_token", "client_credentials"],
                "token_endpoint_auth_methods_supported": [
                    "client_secret_basic",
                    "client_secret_post",
                    "none",
                ],
            },
            headers=_CACHE,
        )

    return router
