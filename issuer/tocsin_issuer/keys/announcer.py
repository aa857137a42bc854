"""Says in the log what an operator must hear of: once when it is new, and then daily."""

import logging
from collections.abc import Iterable
from typing import Final

from tocsin_issuer.core.key_notices import Notice

SAY_AGAIN_S: Final = 24 * 3600
_log = logging.getLogger("tocsin.keys")


class Announcer:
    """Remembers what it has said."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str], float] = {}

    def say(self, notices: Iterable[Notice], now: float) -> None:
        """Log what is due at ``now``, in seconds of UTC."""
        said: dict[tuple[str, str], float] = {}
        for notice in notices:
            name = (notice.code, notice.kid)
            last = self._said.get(name)
            if last is None or now - last >= SAY_AGAIN_S:
                last = now
                level = logging.ERROR if notice.urgent else logging.WARNING
                _log.log(level, "%s %s at %d", notice.code, notice.kid, notice.at)
            said[name] = last
        self._said = said
