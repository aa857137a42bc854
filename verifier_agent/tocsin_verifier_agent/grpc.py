"""gRPC server interceptors, for `grpc.server` and for `grpc.aio.server`.

::

    interceptor = TocsinInterceptor({"/orders.Orders/List": Needs("orders:read")})
    server = grpc.server(pool, interceptors=[interceptor])

The token is that of the metadata entry ``authorization``. A call of a method that the mapping does
not name is refused, whoever makes it.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]

from tocsin_schemas.errors import AgentStale, TokenRejected
from tocsin_verifier_agent.adapters import bearer, peer
from tocsin_verifier_agent.adapters.after_fork import AfterFork
from tocsin_verifier_agent.adapters.bearer import Refusal, Refused
from tocsin_verifier_agent.adapters.presented import PRESENTED, Presented, allowed, caller
from tocsin_verifier_agent.adapters.stream_threads import STREAMS, WatchedStream
from tocsin_verifier_agent.adapters.stream_watch import while_good
from tocsin_verifier_agent.authenticator import Authenticator
from tocsin_verifier_agent.core.leniency import OnStale

__all__ = ["AioTocsinInterceptor", "Needs", "Refused", "TocsinInterceptor", "caller"]

PUBLIC_METHODS = ("/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch")
_CODES: Final = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    503: grpc.StatusCode.UNAVAILABLE,
}
_UNLISTED: Final = Refusal(403, "insufficient_scope", "this method is open to nobody", {})
_MAKE: Final = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


class Needs:
    """What a method asks for: every permission, and a proof at most ``max_staleness`` seconds old.

    ``on_stale`` is what it does without one, in place of what the agent's file says.
    """

    def __init__(
        self,
        *permissions: str,
        max_staleness: float | None = None,
        on_stale: OnStale | None = None,
    ) -> None:
        self.permissions = permissions
        self.max_staleness = max_staleness
        self.on_stale: OnStale | None = on_stale


class _Gatekeeper:
    """What both interceptors have in common.

    Without ``agent`` (an agent, or what makes one) it is what the file that ``TOCSIN_FILE`` names
    asks for. It starts with the first call, in the process that gets it, or with :meth:`start`;
    with ``start_agent=False`` somebody else starts and stops it.
    """

    def __init__(
        self,
        methods: Mapping[str, Needs],
        *,
        agent: Authenticator | Callable[[], Authenticator] | None = None,
        public_methods: Iterable[str] = PUBLIC_METHODS,
        start_agent: bool = True,
    ) -> None:
        self._methods = dict(methods)
        self._public = frozenset(public_methods)
        self._agent = AfterFork(agent, start=start_agent)

    def start(self) -> bool:
        """Start the agent on a thread of its own, once; return whether it was live within 5 s."""
        return self._agent.start()

    def _token(self, details: grpc.HandlerCallDetails) -> str | None:
        entries = details.invocation_metadata or ()
        return bearer.token_of_all([str(value) for key, value in entries if key == "authorization"])


# --- grpc.server --------------------------------------------------------------------------------


class TocsinInterceptor(_Gatekeeper, grpc.ServerInterceptor):  # type: ignore[misc]
    """For `grpc.server`.

    Streams are watched. One that sends gets the status of its refusal; one that waits is cancelled,
    for only the handler's own thread may set a status.
    """

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Any],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """One call."""
        handler = continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method in self._public:
            return handler
        token, needs = self._token(handler_call_details), self._methods.get(method)
        behaviour = _behaviour(handler)

        def unary(request: Any, context: grpc.ServicerContext) -> Any:
            with _refusing(context):
                self._admit(token, needs, context)
                return behaviour(request, context)

        def stream(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            with _refusing(context), self._watched(token, needs, context) as watched:
                for response in behaviour(request, context):
                    watched.check()
                    yield response

        def upload(requests: Iterator[Any], context: grpc.ServicerContext) -> Any:
            with _refusing(context), self._watched(token, needs, context) as watched:
                response = behaviour(requests, context)
                watched.check()
                return response

        if handler.response_streaming:
            return _made_like(handler, stream)
        return _made_like(handler, upload if handler.request_streaming else unary)

    def _admit(
        self, token: str | None, needs: Needs | None, context: grpc.ServicerContext
    ) -> Presented:
        if token is None:
            raise Refused(bearer.NO_TOKEN)
        asked, agent, certificate = needs or Needs(), self._agent.get(), peer.of_grpc(context)
        try:
            verified = agent.authenticate_blocking(
                token, asked.max_staleness, asked.on_stale, certificate
            )
        except (TokenRejected, AgentStale) as error:
            raise Refused(bearer.refusal_of(error)) from None
        return _admitted(Presented(agent, token, verified, None, certificate), needs)

    def _watched(
        self, token: str | None, needs: Needs | None, context: grpc.ServicerContext
    ) -> AbstractContextManager[WatchedStream]:
        return STREAMS.watching(WatchedStream(self._admit(token, needs, context), context))


@contextmanager
def _refusing(context: grpc.ServicerContext) -> Iterator[None]:
    try:
        yield
    except Refused as refused:
        context.set_trailing_metadata(_metadata(refused.refusal))
        context.abort(_CODES[refused.refusal.status], refused.refusal.description)


# --- grpc.aio -----------------------------------------------------------------------------------


class AioTocsinInterceptor(_Gatekeeper, grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """For `grpc.aio.server`; handlers must be asynchronous.

    A stream ends with the status of its refusal as soon as its token is refused.
    """

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """One call."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method in self._public:
            return handler
        token, needs = self._token(handler_call_details), self._methods.get(method)
        behaviour = _behaviour(handler)
        if not (inspect.iscoroutinefunction(behaviour) or inspect.isasyncgenfunction(behaviour)):
            raise TypeError(f"the handler of {method} is not asynchronous")

        async def handle(request: Any, context: grpc.aio.ServicerContext) -> Any:
            try:
                found = await self._admit(token, needs, context)
                if handler.request_streaming or handler.response_streaming:
                    return await while_good(found, behaviour, request, context)
                return await behaviour(request, context)
            except Refused as refused:
                await _abort(context, refused.refusal)
                return None

        return _made_like(handler, handle)

    async def _admit(
        self, token: str | None, needs: Needs | None, context: grpc.aio.ServicerContext
    ) -> Presented:
        if token is None:
            raise Refused(bearer.NO_TOKEN)
        asked, certificate = needs or Needs(), peer.of_grpc(context)
        agent = await self._ready_agent()
        try:
            verified = await agent.authenticate(
                token, asked.max_staleness, asked.on_stale, certificate
            )
        except (TokenRejected, AgentStale) as error:
            raise Refused(bearer.refusal_of(error)) from None
        return _admitted(Presented(agent, token, verified, None, certificate), needs)

    async def _ready_agent(self) -> Authenticator:
        if self._agent.is_ready():
            return self._agent.get()
        return await asyncio.to_thread(self._agent.get)


async def _abort(context: grpc.aio.ServicerContext, refusal: Refusal) -> None:
    await context.abort(_CODES[refusal.status], refusal.description, _metadata(refusal))


# --- both ---------------------------------------------------------------------------------------


def _admitted(found: Presented, needs: Needs | None) -> Presented:
    if needs is None:
        raise Refused(_UNLISTED)
    allowed(found.verified, needs.permissions)
    found.demand(needs.max_staleness, needs.on_stale)
    PRESENTED.set(found)  # in a context that the call has for itself
    return found


def _metadata(refusal: Refusal) -> tuple[tuple[str, str], ...]:
    return tuple((name.lower(), text) for name, text in refusal.headers.items())


def _behaviour(handler: Any) -> Callable[[Any, Any], Any]:
    found = handler.unary_unary or handler.unary_stream or handler.stream_unary
    behaviour: Callable[[Any, Any], Any] = found or handler.stream_stream
    return behaviour


def _made_like(handler: Any, behaviour: Callable[..., Any]) -> Any:
    make = _MAKE[bool(handler.request_streaming), bool(handler.response_streaming)]
    return make(
        behaviour,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )
