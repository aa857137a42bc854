"""The register of all live token ids, and the ``iat`` of each new token.

``iat`` comes from Redis, where the cutoffs are: whatever the clocks of the issuer's replicas say, a
cutoff hits every token minted before it and none minted after it.

Tokens that are asked for at the same time are registered together, in one script and one fsync.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis

from tocsin_issuer.store import names, scripts
from tocsin_issuer.store.clients import invalid_client
from tocsin_issuer.store.shown_token import ShownToken
from tocsin_schemas.claims import EXP_LEEWAY_S
from tocsin_schemas.errors import RequestRejected

MAX_GROUP: Final = 64
"""Small enough that one group is signed while the next one is with the server."""

REFUSALS: Final = frozenset(
    ("session_gone", "subject_disabled", "subject_changed", "client_disabled")
)
"""Why a token is not issued, or no session opened: codes of the scripts."""

PARENT_REFUSALS: Final = frozenset(("parent_unknown", "parent_revoked"))
"""Why no token is derived from another one, besides."""

_CLIENT_CHANGED: Final = "client_changed"

BEYOND_S: Final = EXP_LEEWAY_S + 60
"""Seconds that the register outlives a token."""

ACTOR_REFUSALS: Final = frozenset(("actor_unknown", "actor_revoked"))
"""What is wrong with the token that the client shows as its own."""

_KEYS: Final = [
    names.LAST_IAT_OF_ALL,
    names.CUTOFF_OF_ALL,
    names.EPOCH_OF_ALL,
    names.REVOKED_KEYS,
]
_PREFIXES: Final = [
    names.REGISTER,
    names.LAST_IAT_OF_SUBJECT,
    names.LAST_IAT_OF_CLIENT,
    names.CUTOFF_OF_SUBJECT,
    names.CUTOFF_OF_CLIENT,
    names.EPOCH_OF_SUBJECT,
    names.EPOCH_OF_CLIENT,
    names.USER,
    names.CLIENT,
    names.SESSION,
    names.SESSION_TOKENS,
    names.DENIED,
    names.REUSED_SESSION,
]


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a live token is: the session's, or '' without one, and the client's."""

    sid: str
    client_id: str

    @classmethod
    def parse(cls, text: str) -> "Owner":
        """From the register, where ``iat`` and digest follow: no id holds a line feed."""
        sid, client_id, *_ = text.split("\n")
        return cls(sid, client_id)


@dataclass(frozen=True, slots=True)
class Parent:
    """The token that another one is derived from, and the first one of that chain, by jti and
    ``iat`` (seconds of UTC). What is revoked of either counts at once: the script looks
    where revocations are accepted, so it does not matter how far readers of the ledger have got.
    """

    shown: ShownToken
    origin_jti: str
    origin_iat: int


@dataclass(frozen=True, slots=True)
class Registration:
    """A token that is about to be signed: ``life_s`` in seconds; ``actors`` are those of ``act``,
    whose cutoffs it must fall under as well; ``generation`` is that of the credentials that the
    client has shown, None where it has shown none, and ``actor`` a token of the client's own that
    it has shown besides (RFC 8693 section 2.1). ``digest`` is :func:`issued_digest` of what the
    token says; without it nothing can be derived from the token. With a life of 0 nothing is
    registered: it is only asked whether the token would be.
    """

    jti: str
    sub: str
    client_id: str
    sid: str | None
    life_s: int
    actors: tuple[str, ...] = ()
    parent: Parent | None = None
    generation: str | None = None
    actor: ShownToken | None = None
    digest: str = ""


class Register:
    """``max_token_life_s`` is the longest life of any token."""

    def __init__(self, redis: Redis, max_token_life_s: int) -> None:
        self._mint = scripts.load(redis, "mint")
        self._redis = redis
        self._keep_s = max_token_life_s + EXP_LEEWAY_S
        self._waiting: list[tuple[Registration, asyncio.Future[int]]] = []
        self._group: asyncio.Task[None] | None = None

    async def mint(self, wanted: Registration) -> int:
        """Register a token and return its ``iat``, in seconds of UTC.

        Raises:
            RequestRejected: ``session_gone``, ``subject_disabled``, ``client_disabled``, or
                ``invalid_client`` (401) where the client's credentials were replaced; of a derived
                token also ``parent_unknown``, ``parent_revoked``, ``actor_unknown`` or
                ``actor_revoked``.
        """
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, answer))
        if self._group is None:
            self._group = asyncio.create_task(self._run_groups())
        return await answer

    async def owner(self, jti: str) -> Owner | None:
        """Whose a live token is; None where the register has none."""
        owner: Any = await self._redis.get(names.REGISTER + jti)
        return None if owner is None else Owner.parse(owner)

    async def _run_groups(self) -> None:
        """While one group is with the server, the next one gathers."""
        try:
            while self._waiting:
                group = self._waiting[:MAX_GROUP]
                del self._waiting[:MAX_GROUP]
                await self._register(group)
        finally:
            self._group = None
            for _, answer in self._waiting:
                answer.cancel()
            self._waiting.clear()

    async def _register(self, group: Sequence[tuple[Registration, asyncio.Future[int]]]) -> None:
        arguments: list[str | int] = [self._keep_s, BEYOND_S, *_PREFIXES]
        for wanted, _ in group:
            arguments += _arguments(wanted)
        try:
            answers: Any = await self._mint(keys=_KEYS, args=arguments)
        except BaseException as failure:  # everybody who waits for this group is told
            for _, future in group:
                if not future.done():
                    future.set_exception(failure)
            if not isinstance(failure, Exception):
                raise
            return
        for (_, future), answer in zip(group, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, int):
                future.set_result(answer)
            elif answer == _CLIENT_CHANGED:
                future.set_exception(invalid_client())
            else:
                future.set_exception(RequestRejected(answer, "no token can be issued"))


def _arguments(wanted: Registration) -> list[str | int]:
    actors, parent = wanted.actors, wanted.parent
    sid = wanted.sid or ""
    derived: tuple[str, str, int] = ("", "", 0)
    if parent is not None:
        derived = (parent.shown.text, parent.origin_jti, parent.origin_iat)
    return [
        wanted.jti,
        wanted.sub,
        wanted.client_id,
        "" if wanted.generation is None else f"={wanted.generation}",
        sid,
        wanted.life_s,
        wanted.digest,
        *derived,
        "" if wanted.actor is None else wanted.actor.text,
        len(actors),
        *actors,
    ]
