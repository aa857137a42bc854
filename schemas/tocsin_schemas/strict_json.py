"""Strict JSON objects: UTF-8, no duplicate names, no numbers that another parser reads otherwise.

RFC 8259 leaves duplicate names and huge numbers to the parser; two parsers that disagree about a
signed text are a hole. Text in orjson's own canonical form can hold neither, and that check costs
3 µs; of any other text it is known by then that it is JSON, so that counting is enough.
"""

import re
from typing import Any

import orjson

from tocsin_schemas.errors import EncodingRejected

# An integer that may not fit 64 bits, which orjson reads as a fraction, or a part of a fraction.
_LONG_DIGITS = re.compile(rb"\d{19,}")
_MAX_DIGITS = 20  # with the sign
_PART_OF_MORE = frozenset(b".eE+")
# Each value stands behind one of these. In strings they count too, so that nothing need be parsed.
_BEFORE_VALUES = (b",", b"[", b"{")


def _outside_strings(text: bytes) -> bytes:
    """Good JSON without its strings."""
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(text.split(b'"')[::2])


def loads_object(data: bytes, max_values: int | None = None) -> dict[str, Any]:
    """Parse one JSON object, of about ``max_values`` values at most.

    Raises:
        EncodingRejected: ``json``, ``json_not_an_object``, ``json_duplicate_name``, ``json_number``
            or ``json_size``. Time and memory are linear in ``data``; deep nesting is refused.
    """
    if max_values is not None and sum(map(data.count, _BEFORE_VALUES)) > max_values:
        raise EncodingRejected("json_size")
    try:
        value = orjson.loads(data)
        canonical = orjson.dumps(value)
    except (ValueError, TypeError):  # a TypeError: nested deeper than orjson writes, 254 levels
        raise EncodingRejected("json") from None
    if type(value) is not dict:
        raise EncodingRejected("json_not_an_object")
    if canonical == data:
        return value
    outside = _outside_strings(data)
    # Outside strings, colons stand behind names alone; of a name that stands twice one was dropped.
    if outside.count(b":") != _outside_strings(canonical).count(b":"):
        raise EncodingRejected("json_duplicate_name")
    for found in _LONG_DIGITS.finditer(outside):
        if not _fits(outside, *found.span()):
            raise EncodingRejected("json_number")
    return value


def _fits(outside: bytes, start: int, end: int) -> bool:
    """Whether the digits there are an integer of 64 bits, or are none by themselves: they stand in
    a fraction or an exponent. The object's braces are around them.
    """
    if outside[start - 1] == ord("-"):
        start -= 1
    if outside[start - 1] in _PART_OF_MORE or outside[end] in _PART_OF_MORE:
        return True
    return end - start <= _MAX_DIGITS and -(2**63) <= int(outside[start:end]) < 2**64


def dumps(value: Any) -> bytes:
    """Canonical form: sorted names, no white space. What we sign takes the fast path above."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
