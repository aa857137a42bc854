"""What a benchmark must reach, and how it says whether it did."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_RELATIONS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<=": operator.le,
    ">=": operator.ge,
}
MISSED: Final = "MISSED"


@dataclass(frozen=True, slots=True)
class Bar:
    """``key`` of the figures must be ``<=`` or ``>=`` than ``value``."""

    key: str
    relation: str
    value: float

    def is_met(self, figures: Mapping[str, float]) -> bool:
        """A figure that is missing meets no bar."""
        found = figures.get(self.key)
        return found is not None and _RELATIONS[self.relation](found, self.value)

    def __str__(self) -> str:
        return f"{self.key} {self.relation} {self.value:g}"


def report(figures: Mapping[str, float], bars: Sequence[Bar], *, only_json: bool) -> int:
    """Print every figure and whether each bar is met; the last line is one JSON object.

    Returns the exit status: 1 where a bar is missed.
    """
    if not only_json:
        width = max(map(len, figures))
        for key, value in figures.items():
            print(f"  {key:<{width}}  {value}")
        for bar in bars:
            print(f"  {bar}: {'met' if bar.is_met(figures) else MISSED}")
    print(json.dumps(figures))
    return 0 if all(bar.is_met(figures) for bar in bars) else 1
