"""A token as a lenient reader finds it, without our code, and what a strict one would object to."""

from __future__ import annotations

import json
import math
from base64 import urlsafe_b64decode
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any


@dataclass
class Part:
    """One JSON text, read leniently, with what a strict reader would object to."""

    data: bytes
    members: dict[str, Any] = field(default_factory=dict)
    duplicates: bool = False
    numbers: list[str] = field(default_factory=list)
    depth: int = 0
    encoding: str = ""

    def __post_init__(self) -> None:
        self.encoding = json.detect_encoding(self.data)
        text = self.data.decode(self.encoding, "surrogatepass")

        def number(digits: str) -> float:
            self.numbers.append(digits)
            return float(digits)

        def integer(digits: str) -> int:
            self.numbers.append(digits)
            return int(digits)

        members = json.loads(
            text,
            object_pairs_hook=self._object,
            parse_int=integer,
            parse_float=number,
            parse_constant=number,
        )
        self.members = members if isinstance(members, dict) else {}
        self.depth = _depth(members)

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        self.duplicates |= len(dict(pairs)) != len(pairs)
        return dict(pairs)

    @property
    def surrogates(self) -> bool:
        """Half a pair: text that cannot be written in UTF-8."""
        try:
            json.dumps(self.members, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return True
        except RecursionError:  # nested too deeply to look, which is a reason of its own
            return False
        return False

    @property
    def large_number(self) -> bool:
        """No number of 64 bits, or not finite: parsers differ on these."""
        return any(
            not math.isfinite(float(one))
            or (not set(one) & set(".eEIN") and not -(2**63) <= int(one) < 2**64)
            for one in self.numbers
        )


def _depth(value: Any) -> int:
    deepest, level = 0, [value]
    while level:
        deepest += 1
        level = [
            inner
            for one in level
            if isinstance(one, (dict, list))
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
    return deepest


def _lenient(segment: str) -> bytes:
    return urlsafe_b64decode(segment.rstrip("=") + "=" * (-len(segment.rstrip("=")) % 4))


@dataclass
class Seen:
    """A token that somebody accepts, as a lenient reader finds it, and why another refuses it."""

    text: str
    why: str

    @cached_property
    def header(self) -> Part:
        return Part(_lenient(self.text.split(".")[0]))

    @cached_property
    def payload(self) -> Part:
        return Part(_lenient(self.text.split(".")[1]))

    @property
    def claims(self) -> dict[str, Any]:
        return self.payload.members
