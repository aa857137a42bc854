"""Short ways to say what the tests of the store need."""

from itertools import count
from typing import Any, TypeVar

from redis.asyncio import Redis

from tocsin_issuer.store.outbox import Outbox
from tocsin_issuer.store.register import Register, Registration
from tocsin_schemas.events import Event

T = TypeVar("T")
_numbers = count()


async def mint(
    register: Register,
    sub: str = "alice",
    client_id: str = "app",
    sid: str | None = None,
    life_s: int = 600,
    actors: tuple[str, ...] = (),
) -> tuple[str, int]:
    """Register a token; return its jti and iat."""
    jti = f"jti-{next(_numbers)}"
    return jti, await register.mint(Registration(jti, sub, client_id, sid, life_s, actors))


async def events_in(outbox: Outbox) -> list[Event]:
    """All events that wait, oldest first."""
    return [event for entry in await outbox.read(1000) for event in entry.events]


async def only_event(outbox: Outbox, kind: type[T]) -> T:
    """The one event that waits."""
    (event,) = await events_in(outbox)
    assert isinstance(event, kind)
    return event


async def server_time(redis: Redis) -> int:
    """Redis TIME, in whole seconds."""
    time: Any = await redis.time()
    return int(time[0])
