"""The sidecar's endpoints. Pure ASGI, without a framework: `/auth` is on every request's path.

========================  =========================================================================
`/auth`                   any method; nginx `auth_request`, Traefik ForwardAuth
`/ext_authz`, and below   the same for Envoy, which appends the client's own path and query to it
`/verify`                 for :class:`~tocsin_verifier_agent.sidecar.client.SidecarClient`
`/healthz`, `/readyz`     the process answers; what the agent says of itself
`/metrics`                Prometheus, where the extra is installed
========================  =========================================================================
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from msgspec import DecodeError

from tocsin_schemas.errors import AgentStale, RequestRejected, TokenRejected
from tocsin_verifier_agent.adapters import bearer
from tocsin_verifier_agent.adapters.lifespan import Receive, Scope, Send
from tocsin_verifier_agent.agent import VerifierAgent
from tocsin_verifier_agent.sidecar import exposition, headers, question
from tocsin_verifier_agent.sidecar.answers import answer, answer_json, refuse, reject
from tocsin_verifier_agent.sidecar.demands import demands_of
from tocsin_verifier_agent.sidecar.forwarded import ProxyKind, certificate_of
from tocsin_verifier_agent.sidecar.question import Accepted, Refused

AUTH_PATH: Final = "/auth"
ENVOY_PATH: Final = "/ext_authz"


class SidecarApp:
    """Answers for one agent, which somebody else starts and stops. ``proxy`` is the one that may be
    believed about clients' certificates.
    """

    def __init__(
        self,
        agent: VerifierAgent,
        wall_clock: Callable[[], float] = time.time,
        proxy: ProxyKind | None = None,
    ) -> None:
        self._agent = agent
        self._proxy: ProxyKind | None = proxy
        self._wall_clock = wall_clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            raise RuntimeError("the sidecar speaks HTTP alone")
        path: str = scope["path"]
        try:
            if path == AUTH_PATH:
                await self._auth(scope, send, scope["query_string"])
            elif path == ENVOY_PATH or path.startswith(f"{ENVOY_PATH}/"):
                await self._auth(scope, send, b"")  # the query is the client's
            elif path == question.VERIFY_PATH:
                await self._verify(scope, receive, send)
            else:
                await self._look(path, send)
        except RequestRejected as rejected:
            await reject(send, rejected)

    async def _auth(self, scope: Scope, send: Send, query: bytes) -> None:
        """200 with the claims, or what `bearer` says; nothing of the request's body is read."""
        fields = scope["headers"]
        demands = demands_of(fields, query)
        authorization = [value for name, value in fields if name == b"authorization"]
        token = bearer.token_of_all([value.decode("latin-1") for value in authorization])
        if token is None:
            await refuse(send, bearer.NO_TOKEN)
            return
        try:
            verified = await self._agent.authenticate(
                token,
                demands.max_staleness,
                certificate=certificate_of(self._proxy, fields),
            )
        except (TokenRejected, AgentStale) as refused:
            await refuse(send, bearer.refusal_of(refused))
            return
        if not demands.are_for(verified):
            await refuse(send, bearer.BAD_TOKEN)
        elif not verified.allows(*demands.permissions):
            needed = " ".join(sorted(set(demands.permissions)))
            await refuse(send, bearer.insufficient_scope(needed))
        else:
            await answer(send, 200, headers.of(verified))

    async def _verify(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = await _question(scope, receive)
        presented = (asked.token, asked.max_staleness, asked.on_stale, asked.certificate)
        try:
            if asked.may_ask:
                verified = await self._agent.authenticate(*presented)
            else:
                verified = self._agent.verify(*presented)
        except TokenRejected as rejected:
            await answer_json(send, 401, Refused(rejected.code))
        except AgentStale as stale:
            await answer_json(send, 503, Refused(stale.code, stale.retry_after))
        else:
            remaining = max(0.0, verified.valid_until - self._wall_clock())
            await answer_json(send, 200, Accepted(verified, remaining))

    async def _look(self, path: str, send: Send) -> None:
        if path == "/healthz":
            await answer_json(send, 200, {"status": "ok"})
        elif path == question.READY_PATH:
            await answer_json(send, 200, self._agent.describe())
        elif path == "/metrics" and (text := exposition.of(self._agent)) is not None:
            await answer(send, 200, (), text, exposition.CONTENT_TYPE)
        else:
            raise RequestRejected("not_found", "there is nothing here", status=404)


async def _question(scope: Scope, receive: Receive) -> question.Question:
    """Nothing of the body is repeated in an error: there is a token in it."""
    if scope["method"] != "POST":
        raise RequestRejected("method", "the method is POST", status=405)
    if (b"content-type", b"application/json") not in scope["headers"]:
        raise RequestRejected("content_type", "the content type is application/json", status=415)
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RequestRejected("disconnected", "the body is not whole")
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > question.MAX_QUESTION_BYTES:
            raise RequestRejected("body_too_large", "the body is too large", status=413)
    try:
        return question.decode_question(body)
    except (DecodeError, RecursionError):
        raise RequestRejected("question_malformed", "the question is not understood") from None
