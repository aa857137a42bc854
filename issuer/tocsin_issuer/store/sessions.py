"""Sessions, each with one family of refresh tokens: an allow-list, and one use for each token.

A token that comes a second time ends its session, whoever sent it: of two holders one is a thief,
and nobody can tell which. A generation that Redis does not know yet means that Redis went back, and
ends it as well. So does a token from another device, where the session is bound to one. Each stands
in the outbox before the family is gone.

A client whose answer was lost may repeat its request once, soon, and from the device that the
session is bound to; a session that is bound to none has no such grace, since nobody could tell its
client from a thief.
"""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import orjson
from redis.asyncio import Redis

from tocsin_issuer.endings import DEVICE_MISMATCH, REFRESH_AHEAD, REFRESH_REUSE, Ending
from tocsin_issuer.store import event_text, names, scripts
from tocsin_issuer.store.clients import invalid_client
from tocsin_issuer.store.outbox import Outbox
from tocsin_issuer.store.own_sessions import SESSIONS_OF, OwnSessions
from tocsin_issuer.store.refresh_token import RefreshToken, invalid_grant, new_sid
from tocsin_schemas import base64url
from tocsin_schemas.claims import EXP_LEEWAY_S
from tocsin_schemas.errors import RequestRejected
from tocsin_schemas.events import SessionsRevoked

SESSION_RULE_MARGIN_S: Final = 600
"""A rule against a session lives the bound, the longest life of a token, and this."""

DEFAULT_GRACE_S: Final = 10.0
_ENDED: Final = frozenset(("reused", "ahead", "other_device"))

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, repr=False)
class OpenSession:
    """A session and the refresh token to give out for it: a secret.

    ``ends`` is when it ends if it is not used before, in seconds of UTC: no token of it may live
    longer.
    """

    sid: str
    sub: str
    client_id: str
    audiences: tuple[str, ...]
    refresh_token: str
    ends: int


async def _never_goes_back(refreshes: int) -> int:
    return refreshes


class SessionStore:
    """``idle_s`` and ``absolute_s`` are how long a session may go unused, and last at all, in
    seconds; ``grace_s`` is how long after a refresh its request may be repeated, 0 for not at all.
    ``own`` is what users may see and do of their sessions.

    ``require_current`` raises where Redis may have lost something: a refresh token that is good in
    it may have been used already. It is told how many refreshes there must have been, and returns
    how many there have. Without one, Redis is taken never to go back.

    ``misused`` counts the refresh tokens that have ended their session here: ``reused``, ``ahead``
    of what Redis knows, or from an ``other_device``.
    """

    def __init__(
        self,
        redis: Redis,
        outbox: Outbox,
        *,
        idle_s: int,
        absolute_s: int,
        max_token_life_s: int,
        grace_s: float = DEFAULT_GRACE_S,
        event_id: Callable[[], str] = event_text.new_event_id,
        require_current: Callable[[int], Awaitable[int]] = _never_goes_back,
    ) -> None:
        self._redis = redis
        self._outbox = outbox
        self._require_current = require_current
        self._idle_s = idle_s
        self._absolute_s = absolute_s
        self._max_token_life_s = max_token_life_s
        self._grace_ms = round(grace_s * 1000)
        self._event_id = event_id
        self.misused: Counter[str] = Counter()
        self.own = OwnSessions(
            redis,
            outbox,
            rule_life_s=max_token_life_s + SESSION_RULE_MARGIN_S,
            event_id=event_id,
        )
        self._create = scripts.load(redis, "create_session")
        self._refresh = scripts.load(redis, "refresh")

    async def create(
        self,
        sub: str,
        client_id: str,
        audiences: Sequence[str],
        *,
        epoch: str | None = None,
        device: str = "",
        device_id: str | None = None,
        address: str = "",
        user_agent: str | None = None,
    ) -> OpenSession:
        """Open a session. Of the device's id and the user agent only digests are kept.

        Args:
            sub: whose it is.
            client_id: the client that it is opened with.
            audiences: whom its tokens are for.
            epoch: the one that the user was authenticated in, where the password is ours.
            device: a name that the user gives it.
            device_id: what every refresh must show from now on; None binds it to no device.
            address: where the login came from.
            user_agent: of the login.

        Raises:
            RequestRejected: ``subject_disabled``, or ``subject_changed``: whatever has ended all
                that the subject had, a new password for one, has ended this login with it.
        """
        token = RefreshToken.first(new_sid())
        fields = {
            "sub": sub,
            "client_id": client_id,
            "audiences": orjson.dumps(list(audiences)).decode(),
            "device": device,
            "device_digest": _device_digest(device_id),
            "address": address,
            "user_agent": "" if user_agent is None else _short_digest(user_agent),
            "generation": "0",
            "family": token.family_digest,
            "secret": token.secret_digest,
        }
        answer: Any = await self._create(
            keys=[
                names.SESSION + token.sid,
                names.EPOCH_OF_ALL,
                names.EPOCH_OF_SUBJECT + sub,
                names.EPOCH_OF_CLIENT + client_id,
                names.USER + sub,
                SESSIONS_OF + sub,
            ],
            args=[
                self._idle_s,
                self._absolute_s,
                "" if epoch is None else f"={epoch}",
                *(part for pair in fields.items() for part in pair),
            ],
        )
        if answer[0] != "ok":
            raise RequestRejected(answer[0], "no session can be opened")
        return OpenSession(token.sid, sub, client_id, tuple(audiences), token.text, answer[1])

    async def refresh(
        self,
        text: str,
        *,
        bound_s: int,
        client_id: str | None = None,
        authenticated: bool = False,
        device_id: str | None = None,
    ) -> OpenSession:
        """Use a refresh token and return the session with the next one.

        Args:
            text: the token.
            bound_s: B, the bound on enforcement, in seconds.
            client_id: the client that presents it, where it said which; it must be the session's.
            authenticated: whether it has shown that it is; a registered client must have.
            device_id: what the login gave, where it gave one; not looked at otherwise.

        Raises:
            RequestRejected: ``invalid_client`` (401) for a registered client that has not shown who
                it is; ``invalid_grant`` for all else; ``store_went_back`` (503) where Redis may be
                older than the ledger.
        """
        refreshes = await self._require_current(0)
        session = await self._exchange(
            text,
            bound_s=bound_s,
            client_id=client_id,
            authenticated=authenticated,
            device_id=device_id,
        )
        await self._require_current(refreshes + 1)  # it may have gone back in between
        return session

    async def _exchange(
        self,
        text: str,
        *,
        bound_s: int,
        client_id: str | None,
        authenticated: bool,
        device_id: str | None,
    ) -> OpenSession:
        token = RefreshToken.parse(text)
        following = token.next()
        arguments: list[str | int] = [
            token.generation,
            token.family_digest,
            token.secret_digest,
            following.secret_digest,
            client_id or "",
            self._idle_s,
            names.EPOCH_OF_SUBJECT,
            bound_s + self._max_token_life_s + SESSION_RULE_MARGIN_S,
            EXP_LEEWAY_S,
            names.DENIED,
            event_text.session_opening(token.sid),
            _device_digest(device_id),
            self._grace_ms,
            self._event(REFRESH_REUSE),
            self._event(REFRESH_AHEAD),
            self._event(DEVICE_MISMATCH),
            "" if authenticated else names.CLIENT,
            names.EPOCH_OF_CLIENT,
        ]
        keys = [
            names.OUTBOX,
            names.SESSION + token.sid,
            names.SESSION_TOKENS + token.sid,
            names.EPOCH_OF_ALL,
            names.REUSED_SESSION + token.sid,
            names.REFRESHES,
        ]
        answer: Any = await self._refresh(keys=keys, args=arguments)
        if answer[0] in _ENDED:
            self._outbox.announce()
            self.misused[answer[0]] += 1
            _log.warning("a refresh token was refused (%s): its session has ended", answer[0])
        if answer[0] == "unauthenticated":
            raise invalid_client()
        if answer[0] != "ok":
            raise invalid_grant()
        _, sub, owner, audiences, ends = answer
        return OpenSession(
            token.sid, sub, owner, tuple(orjson.loads(audiences)), following.text, ends
        )

    async def exists(self, sid: str) -> bool:
        """Whether Redis keeps the session. A cutoff may have ended it all the same."""
        return bool(await self._redis.exists(names.SESSION + sid))

    def _event(self, ending: Ending) -> str:
        return event_text.sessions_opening(
            SessionsRevoked(
                id=self._event_id(), reason=ending.reason, initiator=ending.initiator, sessions=()
            )
        )


def _device_digest(device_id: str | None) -> str:
    """A device's id is a secret of at least 128 random bits, so one SHA-256 is enough."""
    return "" if device_id is None else sha256(b"device:" + device_id.encode()).hexdigest()


def _short_digest(text: str) -> str:
    return base64url.encode(sha256(text.encode()).digest()[:16])
