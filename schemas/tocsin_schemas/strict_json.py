"""Strict JSON objects: UTF-8, no duplicate names, no numbers that another parser reads otherwise.

RFC 8259 leaves duplicate names and huge numbers to the parser; two parsers that disagree about a
signed text are a hole. Text in orjson's own canonical form can hold neither, and that check costs
3 µs; anything else takes the slow path, which looks at every pair.
"""

import json
from typing import Any

import orjson

from tocsin_schemas.errors import EncodingRejected

_MAX_DIGITS = 20  # of an integer, with its sign: what fits 64 bits, and no quadratic-time parse


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise EncodingRejected("json_duplicate_name")
    return members


def _integer(digits: str) -> int:
    number = int(digits) if len(digits) <= _MAX_DIGITS else 2**64
    if not -(2**63) <= number < 2**64:  # orjson, on the fast path, has no other integers
        raise EncodingRejected("json_number")
    return number


def _fraction(digits: str) -> float:
    number = float(digits)
    if number - number != 0.0:  # infinite
        raise EncodingRejected("json_number")
    return number


def _constant(name: str) -> None:
    raise EncodingRejected("json_number")


def loads_object(data: bytes) -> dict[str, Any]:
    """Parse one JSON object.

    Raises:
        EncodingRejected: ``json``, ``json_not_an_object``, ``json_duplicate_name`` or
            ``json_number``. Time and memory are linear in ``data``; deep nesting is refused.
    """
    try:
        value = orjson.loads(data)
        canonical = orjson.dumps(value)
    except (ValueError, TypeError):  # a TypeError: nested deeper than orjson writes, 254 levels
        raise EncodingRejected("json") from None
    if type(value) is not dict:
        raise EncodingRejected("json_not_an_object")
    if canonical == data:
        return value
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_int=_integer,
            parse_float=_fraction,
            parse_constant=_constant,
        )
    except (ValueError, RecursionError):
        raise EncodingRejected("json") from None
    if type(value) is not dict:  # unreachable while both parsers agree; a check, not an assumption
        raise EncodingRejected("json_not_an_object")
    return value


def dumps(value: Any) -> bytes:
    """Canonical form: sorted names, no white space. What we sign takes the fast path above."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
