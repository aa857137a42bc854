"""FastAPI: the ASGI middleware, and a dependency that asks for permissions.

::

    app.add_middleware(TocsinMiddleware)

    @app.get("/orders", dependencies=[Depends(require("orders:read"))])
    def orders(): ...
"""

from collections.abc import Awaitable, Callable

from fastapi import HTTPException, Request

from tocsin_schemas.errors import AgentStale, TokenRejected
from tocsin_verifier_agent import bearer
from tocsin_verifier_agent.asgi import SCOPE_KEY, Presented, TocsinMiddleware
from tocsin_verifier_agent.bearer import Refusal
from tocsin_verifier_agent.core.leniency import OnStale
from tocsin_verifier_agent.core.verified import Verified

__all__ = ["TocsinMiddleware", "require"]


def require(
    *permissions: str, max_staleness: float | None = None, on_stale: OnStale | None = None
) -> Callable[[Request], Awaitable[Verified]]:
    """A dependency: the token must hold every permission, in ``perms`` or ``scope``.

    ``max_staleness`` (seconds) demands a fresher proof than the fleet's lease; ``on_stale`` is what
    this route does without one. The dependency's value is the :class:`Verified` token.
    """

    async def dependency(request: Request) -> Verified:
        presented = request.scope.get(SCOPE_KEY)
        if not isinstance(presented, Presented):
            raise _error(bearer.NO_TOKEN)
        try:
            verified = await presented.verify(max_staleness, on_stale)
        except TokenRejected:
            raise _error(bearer.BAD_TOKEN) from None
        except AgentStale as stale:
            raise _error(bearer.stale(stale)) from None
        if not verified.allows(*permissions):
            raise _error(bearer.insufficient_scope(" ".join(sorted(set(permissions)))))
        return verified

    return dependency


def _error(refusal: Refusal) -> HTTPException:
    return HTTPException(refusal.status, refusal.body(), dict(refusal.headers))
