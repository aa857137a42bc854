"""One ASGI connection: what the application may send, and for how long."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from tocsin_revocation_bus.tasks import end
from tocsin_verifier_agent.adapters import bearer
from tocsin_verifier_agent.adapters.bearer import Refusal, Refused
from tocsin_verifier_agent.adapters.lifespan import App, Message, Receive, Scope, Send
from tocsin_verifier_agent.adapters.presented import Presented

# RFC 6455 section 7.4.1, and the IANA registry: policy violation, try again later.
CLOSE_REJECTED, CLOSE_STALE = 1008, 1013
DENIAL = "websocket.http.response"
# Most answers end before this and are then never watched: a watch costs a task. As long is a token
# good without another look.
WATCH_AFTER_S = 0.1
CLOSE_TIMEOUT_S = 1.0
_STARTS = frozenset({"http.response.start", "websocket.accept", f"{DENIAL}.start"})
_GRANTS = frozenset({"http.response.start", "websocket.accept"})
_SAFE = frozenset({"GET", "HEAD"})
# What an answer is made of, and the flag that says that more of it comes. Anything else (hints, a
# push, what is for a debugger) is no part of it.
_MORE: dict[str, str | None] = {
    "http.response.body": "more_body",
    "http.response.zerocopysend": "more_body",
    "http.response.trailers": "more_trailers",
    "http.response.pathsend": None,
}
_NO_LONGER_GOOD = "the token is no longer good"
_log = logging.getLogger("tocsin.asgi")


class CutOff(ConnectionResetError):
    """What an application gets that goes on sending after its connection has been cut off.

    An OSError, as servers raise for a client that has gone (ASGI 2.4).
    """


class Connection:
    """Stands between the server and the application.

    While a WebSocket is open, or an answer has begun and not ended, the token is watched. Once it
    is refused, the application is cancelled, and nothing that it still sends reaches the client; a
    stream lacks its end, so that no client takes it for complete.

    What begins late (a WebSocket that is accepted, the answer to a long poll) begins only after
    another look at the token. Not so the answer to a request that may have changed something: a
    client that is told 401 does the same again with its next token (RFC 9110 section 9.2.1).
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._websocket = scope["type"] == "websocket"
        self._repeatable = self._websocket or scope["method"] in _SAFE
        self._presented: Presented | None = None
        self._received = self._started = self._trailers = self._over = False
        self._came = asyncio.get_running_loop().time()
        self._refusal: Refusal | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watching: asyncio.Task[None] | None = None
        self._limit = asyncio.timeout(None)

    async def run(self, app: App, presented: Presented | None) -> None:
        """Run the application; without ``presented`` nothing is watched.

        A :class:`Refused` that it raises is answered, if it has not answered already.
        """
        self._presented = presented
        try:
            async with self._limit:
                await app(self._scope, self._from_server, self._to_server)
        except Exception as error:
            if self._refusal is not None:
                _log.debug("cut off; the application ended with %s", type(error).__name__)
            elif isinstance(error, Refused) and self._may_answer():
                await self.refuse(error.refusal)
            else:
                raise
        finally:
            await self._end_watch()

    async def refuse(self, refusal: Refusal) -> None:
        """Answer instead of the application."""
        self._over = True
        if not self._websocket:
            await self._answer(refusal, "http.response")
            return
        if not self._received:
            await self._receive()  # websocket.connect comes before any answer to it
        if not self._started and DENIAL in (self._scope.get("extensions") or {}):
            await self._answer(refusal, DENIAL)
            return
        close = {"type": "websocket.close", "code": _close_code(refusal), "reason": refusal.error}
        await self._send(close)

    async def _answer(self, refusal: Refusal, kind: str) -> None:
        headers = [(name.lower().encode(), text.encode()) for name, text in refusal.header_list()]
        await self._send({"type": f"{kind}.start", "status": refusal.status, "headers": headers})
        await self._send({"type": f"{kind}.body", "body": refusal.content()})

    def _may_answer(self) -> bool:
        return not self._over and (self._websocket or not self._started)

    # --- between the server and the application -------------------------------------------------

    async def _from_server(self) -> Message:
        if self._refusal is not None:
            await asyncio.sleep(0)  # an application that ignores this must not block the loop
            if self._websocket:
                return {"type": "websocket.disconnect", "code": _close_code(self._refusal)}
            return {"type": "http.disconnect"}
        message = await self._receive()
        self._received = True
        if message["type"].endswith(".disconnect"):
            self._ends()
        return message

    async def _to_server(self, message: Message) -> None:
        if self._refusal is not None:
            raise CutOff(_NO_LONGER_GOOD)
        kind = message["type"]
        if kind in _GRANTS:
            await self._look_anew()
        if kind in _STARTS:
            self._started = True
            self._trailers = bool(message.get("trailers"))
        elif self._is_last(message):
            # What runs after the answer, such as background tasks, is not cut off.
            self._ends()
        await self._send(message)
        if kind in _GRANTS:
            self._watch_soon()

    def _is_last(self, message: Message) -> bool:
        kind = message["type"]
        if kind not in _MORE:
            return bool(kind == "websocket.close")
        if self._trailers and kind != "http.response.trailers":
            return False
        flag = _MORE[kind]
        return flag is None or not message.get(flag)

    async def _look_anew(self) -> None:
        """Refuse instead of beginning, if so much time has passed that the token may be dead.

        Raises:
            CutOff: it is.
        """
        since = asyncio.get_running_loop().time() - self._came
        if self._presented is None or not self._repeatable or since < WATCH_AFTER_S:
            return
        refusal = await self._presented.refused()
        if refusal is None:
            return
        self._refusal = bearer.refusal_of(refusal)
        await self.refuse(self._refusal)
        raise CutOff(_NO_LONGER_GOOD)

    # --- the watch ------------------------------------------------------------------------------

    def _watch_soon(self) -> None:
        if self._presented is None or self._timer is not None or self._over:
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(WATCH_AFTER_S, self._watch_now, self._presented)

    def _watch_now(self, presented: Presented) -> None:
        self._watching = asyncio.create_task(self._watch(presented))

    async def _watch(self, presented: Presented) -> None:
        refusal = await presented.until_refused()
        if self._over:
            return
        self._refusal = bearer.refusal_of(refusal)
        self._limit.reschedule(asyncio.get_running_loop().time())
        if self._websocket:
            # At once: the application may take its time to end. It may also have just closed it.
            with suppress(OSError, RuntimeError):
                await self.refuse(self._refusal)

    def _ends(self) -> None:
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._watching is not None and self._refusal is None:
            self._watching.cancel()

    async def _end_watch(self) -> None:
        if self._watching is not None and self._refusal is not None:
            await asyncio.wait({self._watching}, timeout=CLOSE_TIMEOUT_S)
        self._ends()
        if self._watching is not None:
            await end(self._watching)


def _close_code(refusal: Refusal) -> int:
    return CLOSE_STALE if refusal.status == 503 else CLOSE_REJECTED
