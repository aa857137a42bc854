"""The answer that hands out tokens (RFC 6749 section 5.1)."""

from collections.abc import Iterable

from starlette.responses import JSONResponse

from tocsin_issuer.http.context import IssuerContext
from tocsin_issuer.store.sessions import OpenSession
from tocsin_issuer.store.users import AuthenticatedUser
from tocsin_schemas.claims import EXP_LEEWAY_S


async def token_answer(
    context: IssuerContext,
    session: OpenSession,
    user: AuthenticatedUser,
    bound_to: str | None = None,
) -> JSONResponse:
    """Mint an access token for a session and hand it out with the refresh token. No verifier takes
    it after the session's end, so no event is needed where a session ends by its age; one that ends
    within that leeway gets none. ``bound_to`` is the thumbprint of the certificate that the client
    has authenticated with.

    Raises:
        RequestRejected: as :meth:`TokenMinter.mint` does.
    """
    minted = await context.minter.mint(
        session.sub,
        session.client_id,
        session.audiences,
        sid=session.sid,
        role=user.role,
        perms=user.perms,
        not_after=session.ends - EXP_LEEWAY_S,
        bound_to=bound_to,
    )
    return JSONResponse(
        {
            "access_token": minted.token,
            "token_type": "Bearer",
            "expires_in": minted.expires_in,
            "refresh_token": session.refresh_token,
            "session_id": session.sid,
        }
    )


def scope_member(scopes: Iterable[str]) -> dict[str, str]:
    """``scope`` of an answer, unless it is empty: RFC 6749 section 3.3 has no empty scope."""
    text = " ".join(scopes)
    return {"scope": text} if text else {}
