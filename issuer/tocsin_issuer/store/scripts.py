"""The Lua scripts: one file each, run atomically by the server.

A Lua error does not undo what a script has written. So each script checks the types of its keys
first (``expect`` of the prelude), writes to the outbox first, and what follows cannot fail.
"""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Final

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

_PRELUDE: Final = "prelude"
_ONCE: Final = "once"
_CALL: Final = "tocsin:call:"


def text_of(name: str) -> str:
    """The source of one script, with the functions that all share."""
    return f"{_source(_PRELUDE)}\n{_source(name)}"


@cache
def _source(name: str) -> str:
    return files("tocsin_issuer.store").joinpath("lua", f"{name}.lua").read_text()


def load(redis: Redis, name: str) -> AsyncScript:
    """The script ``lua/<name>.lua``, sent to the server when it is first missed there."""
    return redis.register_script(text_of(name))


class EmittingScript:
    """A script that adds to the outbox. The client sends a command again whose connection broke,
    and an event must not stand in the ledger twice; so a call has an id, and the server remembers
    for a minute what it has answered.
    """

    def __init__(self, redis: Redis, name: str) -> None:
        body = f"local function once()\n{_source(name)}\nend"
        self._script = redis.register_script("\n".join([_source(_PRELUDE), body, _source(_ONCE)]))

    async def __call__(self, call: str, *, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Run it, once for each ``call``: a random id, the event's for one."""
        return await self._script(keys=[*keys, _CALL + call], args=args)
