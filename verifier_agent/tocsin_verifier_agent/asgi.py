"""ASGI: every request needs a good token, unless its path is named as public.

A connection that outlives its request (a WebSocket, a streamed answer) ends when its token is
revoked, expires, or can no longer be vouched for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tocsin_schemas.errors import AgentStale, TokenRejected
from tocsin_verifier_agent import authenticator
from tocsin_verifier_agent.adapters import bearer, lifespan, peer
from tocsin_verifier_agent.adapters.bearer import Refusal, Refused
from tocsin_verifier_agent.adapters.lifespan import App, Receive, Scope, Send
from tocsin_verifier_agent.adapters.long_lived import CLOSE_REJECTED, CLOSE_STALE, Connection
from tocsin_verifier_agent.adapters.presented import Presented
from tocsin_verifier_agent.authenticator import Authenticator
from tocsin_verifier_agent.core.leniency import OnStale

__all__ = [
    "CLOSE_REJECTED",
    "CLOSE_STALE",
    "PUBLIC_PATHS",
    "SCOPE_KEY",
    "Presented",
    "Refused",
    "TocsinMiddleware",
]

SCOPE_KEY = "tocsin"
PUBLIC_PATHS = ("/healthz", "/readyz")


class TocsinMiddleware:
    """Verifies the bearer token and puts a :class:`Presented` into ``scope["tocsin"]``.

    The agent starts and stops with the application's lifespan, unless ``start_agent`` is False
    because somebody else sees to that. Without ``agent`` it is what the file that ``TOCSIN_FILE``
    names asks for. Health probes are public, so that a stale agent does not make the orchestrator
    restart a healthy service; on a public path ``scope["tocsin"]`` is None. ``on_stale`` says for
    single paths what to do without a lease, in place of the agent's file; routes behind it can
    only be stricter.
    """

    def __init__(
        self,
        app: App,
        *,
        agent: Authenticator | None = None,
        public_paths: Iterable[str] = PUBLIC_PATHS,
        on_stale: Mapping[str, OnStale] | None = None,
        start_agent: bool = True,
    ) -> None:
        self._app = app
        self._agent = authenticator.from_file() if agent is None else agent
        self._public = frozenset(public_paths)
        self._on_stale: dict[str, OnStale] = {**(on_stale or {})}
        self._start_agent = start_agent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection, or the lifespan."""
        if scope["type"] == "lifespan":
            if self._start_agent:
                await lifespan.run(self._agent, self._app, scope, receive, send)
            else:
                await self._app(scope, receive, send)
            return
        scope[SCOPE_KEY] = None
        connection = Connection(scope, receive, send)
        if _path(scope) in self._public:
            await connection.run(self._app, None)
            return
        presented = await self._authenticate(scope)
        if isinstance(presented, Refusal):
            await connection.refuse(presented)
            return
        scope[SCOPE_KEY] = presented
        await connection.run(self._app, presented)

    async def _authenticate(self, scope: Scope) -> Presented | Refusal:
        values = [
            value.decode("latin-1")
            for name, value in scope["headers"]
            if name.lower() == b"authorization"
        ]
        token = bearer.token_of_all(values)
        if token is None:
            return bearer.NO_TOKEN
        on_stale, certificate = self._on_stale.get(_path(scope)), peer.of_scope(scope)
        try:
            verified = await self._agent.authenticate(token, None, on_stale, certificate)
        except (TokenRejected, AgentStale) as error:
            return bearer.refusal_of(error)
        return Presented(self._agent, token, verified, on_stale, certificate)


def _path(scope: Scope) -> str:
    """The application's own path: servers put the prefix that it is mounted at before it."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path.removeprefix(root) if path.startswith(f"{root}/") else path
