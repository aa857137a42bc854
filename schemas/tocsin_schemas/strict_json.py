"""Strict JSON objects: UTF-8, no duplicate names, no numbers that another parser reads otherwise.

RFC 8259 leaves duplicate names and huge numbers to the parser; two parsers that disagree about a
signed text are a hole. Text in orjson's own canonical form can hold neither, and that check costs
3 µs; of any other text it is known by then that it is JSON, so that counting is enough.
"""

import re
from typing import Any

import orjson

from tocsin_schemas.errors import EncodingRejected

# Integers that may not fit 64 bits, which orjson reads as fractions.
_LONG_INTEGER = re.compile(rb"(?<![\d.eE+-])-?\d{19,}(?![\d.eE])")
_MAX_DIGITS = 20  # with the sign
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
    for digits in _LONG_INTEGER.findall(outside):
        if len(digits) > _MAX_DIGITS or not -(2**63) <= int(digits) < 2**64:
            raise EncodingRejected("json_number")
    return value


def dumps(value: Any) -> bytes:
    """Canonical form: sorted names, no white space. What we sign takes the fast path above."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
