"""What came of each command, so that one that was answered is not carried out again."""

from secrets import token_urlsafe
from typing import Any, Final

from redis.asyncio import Redis

from tocsin_issuer.store import names
from tocsin_issuer.store.outbox import Emission
from tocsin_schemas.errors import RequestRejected

_RUNNING: Final = "running"
_DONE: Final = "done"
_RUNNING_S: Final = 60
"""Longer than any command takes. After a crash in between, or where Redis was lost, it can then be
repeated: what was revoked already is revoked once more, and a cutoff lies later.
"""


class CommandRecords:
    """``window_s`` is how long they are kept, in seconds. A command is known by its id and the
    client that sends it; ``digest`` is of what it asks for.
    """

    def __init__(self, redis: Redis, *, window_s: int) -> None:
        self._redis = redis
        self._window_s = window_s

    async def begin(self, client_id: str, command_id: str, digest: str) -> Emission | None:
        """None: carry it out. Otherwise what came of it before.

        Raises:
            RequestRejected: ``command_running`` or ``command_id_reused`` (409 both).
        """
        ours = f"{_RUNNING} {digest} {token_urlsafe(16)}"
        found: Any = await self._redis.set(
            _key(client_id, command_id), ours, nx=True, get=True, ex=_RUNNING_S
        )
        if found in (None, ours):  # ours: the connection broke, and the command was sent again
            return None
        state, of, *emission = str(found).split(" ")
        if of != digest:
            text = "another command had that id"
            raise RequestRejected("command_id_reused", text, status=409)
        if state == _RUNNING:
            raise RequestRejected("command_running", "it is being carried out", status=409)
        return Emission(*emission)

    async def done(self, client_id: str, command_id: str, digest: str, emission: Emission) -> None:
        """It has been carried out."""
        text = f"{_DONE} {digest} {emission.event_id} {emission.entry_id}"
        await self._redis.set(_key(client_id, command_id), text, ex=self._window_s)

    async def forget(self, client_id: str, command_id: str) -> None:
        """It was refused, and changed nothing: it may come again."""
        await self._redis.delete(_key(client_id, command_id))


def _key(client_id: str, command_id: str) -> str:
    return f"{names.COMMAND}{command_id}:{client_id}"
