"""The bearer token of a request (RFC 6750 section 2.1)."""

from fastapi import Request
from msgspec import UNSET

from tocsin_issuer.http.context import IssuerContext
from tocsin_schemas.errors import RequestRejected, TokenRejected
from tocsin_verifier_agent.adapters import peer
from tocsin_verifier_agent.core.verified import Verified


def bearer_token(request: Request) -> str:
    """The token from the ``Authorization`` header; a query or form field is not looked at.

    Raises:
        RequestRejected: ``token_missing`` (401).
    """
    values = request.headers.getlist("authorization")
    scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token:
        raise RequestRejected("token_missing", "a bearer token is needed", status=401)
    return token


def verified_owner(context: IssuerContext, request: Request) -> Verified:
    """Whose token it is, as far as signature, claims and binding go: for what only takes away. A
    service that acts for somebody (RFC 8693 ``act``) is not that person.

    Raises:
        RequestRejected: ``token_missing`` (401).
        TokenRejected: 401.
    """
    verified = context.verify_own(bearer_token(request), peer.of_scope(request.scope))
    if verified.token.act is not UNSET:
        raise TokenRejected("act")
    return verified
