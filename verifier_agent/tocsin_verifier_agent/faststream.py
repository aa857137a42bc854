"""FastStream: a broker middleware. Every message must carry a token in its header `authorization`.

::

    broker = NatsBroker(url, middlewares=[TocsinMiddleware()], logger=None)

    @broker.subscriber("orders.place", dependencies=[Depends(require("orders:write"))])
    async def place(order: Order) -> Receipt: ...

    @broker.subscriber("orders.*", stream=…, pull_sub=PullSub(batch=True))
    async def project(orders: list[Order]) -> None:
        for order, caller in zip(orders, callers(), strict=True): ...
"""
# Without `from __future__ import annotations`: FastDepends cannot look up the names in a closure.

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from faststream import BaseMiddleware
from faststream.exceptions import NackMessage, RejectMessage
from faststream.message import SourceType
from faststream.nats.message import NatsBatchMessage, NatsMessage
from nats.aio.msg import Msg

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

__all__ = ["Refused", "TocsinMiddleware", "caller", "callers", "require"]

GIVEN_BACK_S = 30.0
_EACH: ContextVar[tuple[Presented | None, ...]] = ContextVar("tocsin_presented_each")
_log = logging.getLogger("tocsin.faststream")


class TocsinMiddleware:
    """Verifies the token of each message before its handler is called.

    A refused request is answered ``{"error", "error_description", "status"}``. A refused message
    that nobody waits for is rejected for good (401, 403), or given back to come again (503).
    Nothing is published for it to the handler's own publishers. A message of a batch is looked at
    by itself: a refused one is taken out, and the handler gets the others.

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
        """Start the agent on a thread of its own, once; return whether it was live within 5 s."""
        return self.agent.start()

    def __call__(self, msg: Any, /, *, context: "ContextRepo") -> "_OneDelivery":
        """For FastStream: the middleware of one message, or of one batch."""
        return _OneDelivery(msg, context=context, keeper=self)

    async def look(self, subject: str, headers: Mapping[str, str]) -> Presented | Refusal | None:
        """What one message has presented; None where nobody has to."""
        if subject in self.public:
            return None
        values = [text for name, text in headers.items() if name.lower() == "authorization"]
        token = bearer.token_of_all(values)
        if token is None:
            return bearer.NO_TOKEN
        ready = self.agent
        agent = ready.get() if ready.is_ready() else await asyncio.to_thread(ready.get)
        on_stale = self.on_stale.get(subject)
        try:
            verified = await agent.authenticate(token, None, on_stale)
        except (TokenRejected, AgentStale) as error:
            return bearer.refusal_of(error)
        return Presented(agent, token, verified, on_stale)


class _OneDelivery(BaseMiddleware[Any, Any]):
    def __init__(self, msg: Any, /, *, context: "ContextRepo", keeper: TocsinMiddleware) -> None:
        super().__init__(msg, context=context)
        self._keeper = keeper
        self._only_to: str | None = None
        self._each: tuple[Presented | None, ...] = ()

    async def on_receive(self) -> None:
        """From FastStream, before it reads anything: leave of a batch what may be handled.

        A handler that knew of the others could take one for another, and parameters of the path
        are those of the first message.
        """
        if not isinstance(self.msg, list):
            return
        batch: list[Msg] = self.msg
        # At once: asked one after another, a slow sidecar would outlast the time to acknowledge.
        found = await asyncio.gather(
            *(self._keeper.look(message.subject, message.headers or {}) for message in batch)
        )
        kept, each = list[Msg](), list[Presented | None]()
        for message, presented_ in zip(batch, found, strict=True):
            if isinstance(presented_, Refusal):
                await _settle(message, presented_)
            else:
                kept.append(message)
                each.append(presented_)
        batch[:] = kept
        self._each = tuple(each)
        if not kept:
            raise RejectMessage  # of nothing: each has been settled

    async def consume_scope(
        self, call_next: Callable[[Any], Awaitable[Any]], msg: "StreamMessage[Any]"
    ) -> Any:
        """From FastStream: call the handler, or do not."""
        if msg.source_type is SourceType.RESPONSE:
            return await call_next(msg)  # the answer to a request of our own
        if isinstance(msg, NatsBatchMessage):
            return await self._handle_batch(call_next, msg)
        if msg.batch_headers:
            raise TypeError("of batches, only those of NATS can be looked at")
        found = await self._keeper.look(getattr(msg.raw_message, "subject", ""), msg.headers)
        if isinstance(found, Refusal):
            return await self._refuse(found, msg)
        token = PRESENTED.set(found)
        try:
            return await call_next(msg)
        except Refused as refused:
            return await self._refuse(refused.refusal, msg)
        finally:
            PRESENTED.reset(token)

    async def publish_scope(
        self,
        call_next: Callable[["PublishCommand"], Awaitable[Any]],
        cmd: "PublishCommand",
    ) -> Any:
        """From FastStream: publish what the handler returned."""
        if self._only_to is not None and cmd.destination != self._only_to:
            return None  # a refusal is no result
        return await call_next(cmd)

    async def _handle_batch(
        self, call_next: Callable[[Any], Awaitable[Any]], msg: "StreamMessage[Any]"
    ) -> Any:
        token = _EACH.set(self._each)
        try:
            return await call_next(msg)
        except Refused:
            # Nothing says of which message; the good ones must not be lost by a slip in the code.
            _log.error("the handler of a batch asked for one caller, not for callers()")
            raise NackMessage(delay=GIVEN_BACK_S) from None
        finally:
            _EACH.reset(token)

    async def _refuse(self, refusal: Refusal, msg: "StreamMessage[Any]") -> dict[str, object]:
        if msg.reply_to:
            self._only_to = msg.reply_to
            return {**refusal.body(), "status": refusal.status}
        if isinstance(msg, NatsMessage):
            await _settle(msg.raw_message, refusal)
        raise NackMessage if refusal.status == 503 else RejectMessage


async def _settle(message: Msg, refusal: Refusal) -> None:
    """It never comes again, or after a while; FastStream leaves that to the handler, which does not
    see it, where acknowledging is manual.
    """
    if message.is_acked:  # also where there is nothing to acknowledge
        return
    if refusal.status == 503:
        await message.nak(delay=float(refusal.headers["Retry-After"]))
    else:
        await message.term()


def callers() -> tuple[Verified | None, ...]:
    """Whose each message of the batch is that is being handled, in their order; None is where the
    subject is public.

    Raises:
        LookupError: no batch is being handled.
    """
    return tuple(None if found is None else found.verified for found in _EACH.get())


def require(
    *permissions: str, max_staleness: float | None = None, on_stale: OnStale | None = None
) -> Callable[[], Awaitable[Verified]]:
    """A dependency: the token must hold every permission, in ``perms`` or ``scope``. Not for
    batches, which have a token for each message: see :func:`callers`.

    ``max_staleness`` (seconds) demands a fresher proof than the fleet's lease; ``on_stale`` is what
    this handler does without one, and can only be stricter than the agent's file. Its value is the
    :class:`Verified` token.
    """

    async def dependency() -> Verified:
        return await presented().require(
            *permissions, max_staleness=max_staleness, on_stale=on_stale
        )

    return dependency
