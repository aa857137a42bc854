"""The Lua scripts: one file each, run atomically by the server.

A Lua error does not undo what a script has written. So each script checks the types of its keys
first (``expect`` of the prelude), writes to the outbox first, and what follows cannot fail.
"""

from functools import cache
from importlib.resources import files
from typing import Final

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

_PRELUDE: Final = "prelude"


@cache
def text_of(name: str) -> str:
    """The source of one script, with the functions that all share."""
    folder = files("tocsin_issuer.store").joinpath("lua")
    return "\n".join(folder.joinpath(f"{part}.lua").read_text() for part in (_PRELUDE, name))


def load(redis: Redis, name: str) -> AsyncScript:
    """The script ``lua/<name>.lua``, sent to the server when it is first missed there."""
    return redis.register_script(text_of(name))
