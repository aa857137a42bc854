"""Durations as people write them: 90s, 15m, 12h, 30d."""

import re
from typing import Final

import typer

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}
_TEXT: Final = re.compile(r"([1-9][0-9]{0,8})([smhd])")


def seconds(text: str) -> int:
    """Parse a duration.

    Raises:
        typer.BadParameter: it is something else.
    """
    found = _TEXT.fullmatch(text)
    if found is None:
        raise typer.BadParameter("a duration is a number and s, m, h or d")
    return int(found[1]) * _UNITS[found[2]]
