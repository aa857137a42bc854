"""What users see of their own sessions, and how they end them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis

from tocsin_issuer.endings import OTHER_SESSIONS_REMOVED, SESSION_REMOVED, Ending
from tocsin_issuer.store import event_text, names, scripts
from tocsin_issuer.store.outbox import Emission, Outbox
from tocsin_schemas.claims import EXP_LEEWAY_S
from tocsin_schemas.errors import RequestRejected
from tocsin_schemas.events import SessionsRevoked

SESSIONS_OF: Final = "tocsin:sessions-of:"
"""By subject: the keys of the subject's sessions, by when each was opened."""

MAX_AT_ONCE: Final = 1000
_MAX_LOOKED_AT: Final = 1000
_CALL: Final = "tocsin:sessions-ended:"
_CALL_REMEMBERED_S: Final = 60
_FIELDS: Final = 5

OPENED_IN: Final = ("epoch_of_all", "epoch_of_subject", "epoch_of_client")
"""Fields of a session: the epochs of all, its subject and its client when it was opened."""


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session as its user sees it. Times are seconds of UTC; ``seen`` is its last refresh, or the
    login; ``address`` is where the login came from.
    """

    sid: str
    device: str
    created: int
    seen: int
    address: str


@dataclass(frozen=True, slots=True)
class SessionPage:
    """Sessions, newest first; ``cursor`` is where the next page begins, '' where there is none."""

    sessions: tuple[SessionView, ...]
    cursor: str


class OwnSessions:
    """The sessions of one subject at a time. ``rule_life_s`` and the bound, in seconds, are how
    long a rule against a session lives.
    """

    def __init__(
        self, redis: Redis, outbox: Outbox, *, rule_life_s: int, event_id: Callable[[], str]
    ) -> None:
        self._redis = redis
        self._outbox = outbox
        self._rule_life_s = rule_life_s
        self._event_id = event_id
        self._list = scripts.load(redis, "list_sessions")
        self._end = scripts.load(redis, "end_sessions")

    async def vouched(self, claims: Mapping[str, Any]) -> bool:
        """Whether an access token of ours, already verified, stands for a session that is alive.

        Redis is asked, not the ledger: sessions can be ended while the bus is down, and no token
        that was revoked in Redis a moment ago can end others.
        """
        sid, sub, client_id = claims["sid"], claims["sub"], claims["client_id"]
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hmget(names.SESSION + sid, "sub", "client_id", *OPENED_IN)
            pipe.mget(
                names.EPOCH_OF_ALL,
                names.EPOCH_OF_SUBJECT + sub,
                names.EPOCH_OF_CLIENT + client_id,
            )
            pipe.mget(
                names.CUTOFF_OF_ALL,
                names.CUTOFF_OF_SUBJECT + sub,
                names.CUTOFF_OF_CLIENT + client_id,
            )
            pipe.exists(names.DENIED + claims["jti"])
            session, epochs, cutoffs, denied = await pipe.execute()
        return (
            session[:2] == [sub, client_id]
            and still_open(epochs, session[2:])
            and all(claims["iat"] >= int(cutoff or 0) for cutoff in cutoffs)
            and not denied
        )

    async def page(self, sub: str, *, limit: int, cursor: str = "") -> SessionPage:
        """A page of at most ``limit`` live sessions. It may be shorter where many are dead, though
        there is a next one.

        Raises:
            RequestRejected: ``cursor_invalid``.
        """
        score, _, sid = cursor.partition(".")
        if cursor and not (score.isascii() and score.isdigit() and len(score) < 16 and sid):
            raise RequestRejected("cursor_invalid", "the cursor is none of ours")
        answer: Any = await self._list(
            keys=[SESSIONS_OF + sub, names.EPOCH_OF_ALL, names.EPOCH_OF_SUBJECT + sub],
            args=[
                limit,
                _MAX_LOOKED_AT,
                score or "+inf",
                names.SESSION + sid if sid else "",
                names.EPOCH_OF_CLIENT,
            ],
        )
        at, last, *values = answer
        rows = [values[i : i + _FIELDS] for i in range(0, len(values), _FIELDS)]
        views = tuple(
            SessionView(_sid(key), device, int(created), int(seen or created), address)
            for key, created, seen, device, address in rows
        )
        return SessionPage(views, f"{at}.{_sid(last)}" if at else "")

    async def end(self, sub: str, sid: str, *, bound_s: int) -> Emission:
        """End one session of the subject's. ``bound_s`` is B, in seconds.

        Raises:
            RequestRejected: ``session_unknown`` (404), be it nobody's or another's.
        """
        emission, _ = await self._run(SESSION_REMOVED, sub, "one", sid, bound_s)
        if emission is None:
            raise RequestRejected("session_unknown", "there is no such session", status=404)
        return emission

    async def end_others(self, sub: str, sid: str, *, bound_s: int) -> Emission | None:
        """End every session of the subject's but one; the newest event, or None without others."""
        newest = None
        while True:
            emission, ended = await self._run(OTHER_SESSIONS_REMOVED, sub, "others", sid, bound_s)
            newest = emission or newest
            if ended < MAX_AT_ONCE:
                return newest

    async def _run(
        self, ending: Ending, sub: str, which: str, sid: str, bound_s: int
    ) -> tuple[Emission | None, int]:
        event = SessionsRevoked(
            id=self._event_id(), reason=ending.reason, initiator=ending.initiator, sessions=()
        )
        answer: Any = await self._end(
            keys=[
                names.OUTBOX,
                _CALL + event.id,
                SESSIONS_OF + sub,
                names.EPOCH_OF_ALL,
                names.EPOCH_OF_SUBJECT + sub,
            ],
            args=[
                event_text.sessions_opening(event),
                bound_s + self._rule_life_s,
                EXP_LEEWAY_S,
                names.DENIED,
                names.SESSION,
                names.SESSION_TOKENS,
                sub,
                which,
                sid,
                MAX_AT_ONCE,
                _CALL_REMEMBERED_S,
                names.EPOCH_OF_CLIENT,
            ],
        )
        entry_id, ended = answer
        if not ended:
            return None, 0
        self._outbox.announce()
        return Emission(event.id, entry_id), ended


def still_open(standing: Iterable[str | None], opened_in: Iterable[str | None]) -> bool:
    """Whether no epoch has begun since a session was opened: of all, its subject, its client."""
    return all(now in (None, then) for now, then in zip(standing, opened_in, strict=True))


def _sid(key: str) -> str:
    return key.removeprefix(names.SESSION)
