"""FastStream: a broker middleware. Every message must carry a token in its header `authorization`.

::

    broker = NatsBroker(url, middlewares=[TocsinMiddleware()], logger=None)

    @broker.subscriber("orders.place", dependencies=[Depends(require("orders:write"))])
    async def place(order: Order) -> Receipt: ...
"""
# Without `from __future__ import annotations`: FastDepends cannot look up the names in a closure.

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from faststream import BaseMiddleware
from faststream.exceptions import NackMessage, RejectMessage
from faststream.message import SourceType
from faststream.nats.message import NatsMessage  # that of faststream.nats is an annotation

from tocsin_schemas.errors import AgentStale, TokenRejected
from tocsin_verifier_agent.adapters import bearer
from tocsin_verifier_agent.adapters.after_fork import AfterFork
from tocsin_verifier_agent.adapters.bearer import Refusal, Refused
from tocsin_verifier_agent.adapters.presented import PRESENTED, Presented, caller, presented
from tocsin_verifier_agent.authenticator import Authenticator
from tocsin_verifier_agent.core.leniency import OnStale
from tocsin_verifier_agent.core.verified import Verified

if TYPE_CHECKING:
    from faststream import ContextRepo
    from faststream.message import StreamMessage
    from faststream.response import PublishCommand

__all__ = ["Refused", "TocsinMiddleware", "caller", "require"]


class TocsinMiddleware:
    """Verifies the token of each message before its handler is called.

    A refused request is answered ``{"error", "error_description", "status"}``. A refused message
    that nobody waits for is rejected for good (401, 403), or given back to come again (503).
    Nothing is published for it to the handler's own publishers.

    Without ``agent`` (an agent, or what makes one) it is what the file that ``TOCSIN_FILE`` names
    asks for. It starts with the first message, or with :meth:`start`; with ``start_agent=False``
    somebody else starts and stops it. ``on_stale`` says for single subjects what to do without a
    lease, in place of the agent's file; handlers behind it can only be stricter.
    """

    def __init__(
        self,
        *,
        agent: Authenticator | Callable[[], Authenticator] | None = None,
        public_subjects: Iterable[str] = (),
        on_stale: Mapping[str, OnStale] | None = None,
        start_agent: bool = True,
    ) -> None:
        self.agent = AfterFork(agent, start=start_agent)
        self.public = frozenset(public_subjects)
        self.on_stale: dict[str, OnStale] = {**(on_stale or {})}

    def start(self) -> bool:
        """Start the agent on a thread of its own; return whether it is live."""
        return self.agent.start()

    def __call__(self, msg: Any, /, *, context: "ContextRepo") -> "_OneMessage":
        """For FastStream: the middleware of one message."""
        return _OneMessage(msg, context=context, keeper=self)


class _OneMessage(BaseMiddleware[Any, Any]):
    def __init__(self, msg: Any, /, *, context: "ContextRepo", keeper: TocsinMiddleware) -> None:
        super().__init__(msg, context=context)
        self._keeper = keeper
        self._only_to: str | None = None

    async def consume_scope(
        self, call_next: Callable[[Any], Awaitable[Any]], msg: "StreamMessage[Any]"
    ) -> Any:
        """From FastStream: call the handler, or do not."""
        if msg.source_type is SourceType.RESPONSE:
            return await call_next(msg)  # the answer to a request of our own
        try:
            token = PRESENTED.set(await self._presented(msg))
            try:
                return await call_next(msg)
            finally:
                PRESENTED.reset(token)
        except Refused as refused:
            return self._refuse(refused.refusal, msg)

    async def publish_scope(
        self,
        call_next: Callable[["PublishCommand"], Awaitable[Any]],
        cmd: "PublishCommand",
    ) -> Any:
        """From FastStream: publish what the handler returned."""
        if self._only_to is not None and cmd.destination != self._only_to:
            return None  # a refusal is no result
        return await call_next(cmd)

    async def _presented(self, msg: "StreamMessage[Any]") -> Presented | None:
        subject = getattr(msg.raw_message, "subject", "")
        if subject in self._keeper.public:
            return None
        values = [text for name, text in msg.headers.items() if name.lower() == "authorization"]
        token = bearer.token_of_all(values)
        if token is None:
            raise Refused(bearer.NO_TOKEN)
        ready = self._keeper.agent
        agent = ready.get() if ready.is_ready() else await asyncio.to_thread(ready.get)
        on_stale = self._keeper.on_stale.get(subject)
        try:
            verified = await agent.authenticate(token, None, on_stale)
        except (TokenRejected, AgentStale) as error:
            raise Refused(bearer.refusal_of(error)) from None
        return Presented(agent, token, verified, on_stale)

    def _refuse(self, refusal: Refusal, msg: "StreamMessage[Any]") -> dict[str, object]:
        if msg.reply_to:
            self._only_to = msg.reply_to
            return {**refusal.body(), "status": refusal.status}
        if refusal.status != 503:
            raise RejectMessage
        if isinstance(msg, NatsMessage):
            raise NackMessage(delay=float(refusal.headers["Retry-After"]))
        raise NackMessage


def require(
    *permissions: str, max_staleness: float | None = None, on_stale: OnStale | None = None
) -> Callable[[], Awaitable[Verified]]:
    """A dependency: the token must hold every permission, in ``perms`` or ``scope``.

    ``max_staleness`` (seconds) demands a fresher proof than the fleet's lease; ``on_stale`` is what
    this handler does without one, and can only be stricter than the agent's file. Its value is the
    :class:`Verified` token.
    """

    async def dependency() -> Verified:
        return await presented().require(
            *permissions, max_staleness=max_staleness, on_stale=on_stale
        )

    return dependency
