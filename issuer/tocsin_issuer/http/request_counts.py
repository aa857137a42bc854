"""How many requests were answered, for the metrics."""

from collections import Counter
from typing import Literal

ListenerName = Literal["public", "internal"]
UNKNOWN = "unknown"


class RequestCounts:
    """``answered`` counts by listener, route and class of status (``2xx``).

    A route is named by its template and never by the path, which a client chooses; what has none
    is one route together.
    """

    def __init__(self) -> None:
        self.answered: Counter[tuple[ListenerName, str, str]] = Counter()

    def count(self, listener: ListenerName, route: str | None, status: int) -> None:
        """One more."""
        self.answered[listener, route or UNKNOWN, f"{status // 100}xx"] += 1
