"""Strict JSON against `json.loads`: no text may mean two things, and no text may cost too much."""

from __future__ import annotations

import json
import math
import sys
import threading
import tracemalloc
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin_schemas import strict_json
from tocsin_schemas.errors import EncodingRejected

CODES = {"json", "json_not_an_object", "json_duplicate_name", "json_number"}

_TEXT = st.text(max_size=8)
_NUMBERS = (
    st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(
        [0, -1, 2**53, 2**53 + 1, 2**63, 2**64 - 1, -(2**63), 0.1, -0.0, 1e22, 5e-324]
    )
)
_VALUES = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)
_OBJECTS = st.dictionaries(_TEXT, _VALUES, max_size=5)


def same(one: Any, two: Any) -> bool:
    """Equal, and of equal types all the way down: 1, 1.0 and True are three values."""
    if type(one) is not type(two):
        return False
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[name], two[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, float):
        return math.copysign(1, one) == math.copysign(1, two) and one == two
    return bool(one == two)


def standard(data: bytes) -> Any:
    """As `json.loads` reads it, without what RFC 8259 leaves open."""
    return json.loads(data.decode("utf-8"))


@settings(max_examples=200)
@given(_OBJECTS, st.booleans(), st.sampled_from([None, 1]), st.booleans())
def test_it_reads_what_json_writes(
    value: dict[str, Any], ascii_only: bool, indent: int | None, sort: bool
) -> None:
    data = json.dumps(value, ensure_ascii=ascii_only, indent=indent, sort_keys=sort).encode()
    assert same(strict_json.loads_object(data), value)
    compact = json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":")).encode()
    assert same(strict_json.loads_object(compact), value)


@given(_OBJECTS)
def test_canonical_form_does_not_depend_on_order(value: dict[str, Any]) -> None:
    data = strict_json.dumps(value)
    assert strict_json.dumps(dict(reversed(value.items()))) == data
    assert same(strict_json.loads_object(data), value)


# Texts that are nearly JSON, put together from pieces that parsers disagree about.
_WORDS = (
    '{ } [ ] , : " 0 1 -0 1.0 1e5 1E+2 1e999 -1e999 1e-999 00 +1 .5 5. 0x1 '
    'NaN Infinity -Infinity null true True none "a" "a":1 "b":[ "\\u0061":2 "\\ud800" '
    '"\\ud83d\\ude00" "\\x" \\ // 18446744073709551615 18446744073709551616 '
    "-9223372036854775809 \x00 \x7f \x0b é \ufeff"
)
_PIECES = st.sampled_from(_WORDS.split(" ")) | st.sampled_from(
    [" ", "\n", '"a":{"a":1,"a":2}', '{"a":1}', '"', "\\"]
)


@settings(max_examples=600)
@given(
    st.lists(_PIECES, max_size=8).map("".join)
    | st.lists(_PIECES, max_size=6).map(lambda parts: '{"x":' + "".join(parts) + "}")
    | st.text(max_size=12)
)
def test_what_it_accepts_json_reads_the_same(text: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    try:
        value = strict_json.loads_object(data)
    except EncodingRejected as rejected:
        assert rejected.code in CODES
    else:
        assert same(value, standard(data))


@settings(max_examples=300)
@given(_OBJECTS, st.data())
def test_bytes_changed_anywhere_never_make_the_two_disagree(
    value: dict[str, Any], data: st.DataObject
) -> None:
    text = bytearray(strict_json.dumps(value))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(text) - 1))
        text[place] = data.draw(st.integers(0, 255))
    try:
        read = strict_json.loads_object(bytes(text))
    except EncodingRejected:
        return
    assert same(read, standard(bytes(text)))


class Spelled(NamedTuple):
    """A value, and one of the ways to write it."""

    value: Any
    text: str


def _spelled(letters: list[tuple[str, bool]]) -> Spelled:
    """A string, some of whose letters are escaped."""
    texts = [
        f"\\u{ord(one):04x}" if escaped else json.dumps(one, ensure_ascii=False)[1:-1]
        for one, escaped in letters
    ]
    return Spelled("".join(one for one, _ in letters), f'"{"".join(texts)}"')


def _array(parts: list[Spelled]) -> Spelled:
    return Spelled([one.value for one in parts], f"[{','.join(one.text for one in parts)}]")


def _object(members: list[tuple[Spelled, Spelled]]) -> Spelled:
    texts = [f"{name.text}:{one.text}" for name, one in members]
    return Spelled({name.value: one.value for name, one in members}, "{" + ",".join(texts) + "}")


_LETTERS = st.sampled_from(':,"\\{}[]aé\n')  # what is counted, and what hides it
_STRINGS = st.lists(st.tuples(_LETTERS, st.booleans()), max_size=4).map(_spelled)
_WRITTEN_NUMBERS = st.sampled_from(
    [Spelled(json.loads(text), text) for text in ("0", "1e5", "1E+2", "10.0e1", "-0", "null")]
)


def _members(inner: st.SearchStrategy[Spelled]) -> st.SearchStrategy[list[tuple[Spelled, Spelled]]]:
    pairs = st.tuples(_STRINGS, inner)
    return st.lists(pairs, max_size=3, unique_by=lambda pair: pair[0].value)


_WRITTEN = st.recursive(
    _STRINGS | _WRITTEN_NUMBERS,
    lambda inner: st.lists(inner, max_size=3).map(_array) | _members(inner).map(_object),
    max_leaves=6,
)


@settings(max_examples=300)
@given(_members(_WRITTEN).map(_object))
def test_however_it_is_written_it_means_the_same(one: Spelled) -> None:
    assert same(strict_json.loads_object(one.text.encode()), one.value)


@settings(max_examples=600)
@given(_members(_WRITTEN), st.data())
def test_a_name_that_stands_twice_is_refused_at_any_depth(
    rest: list[tuple[Spelled, Spelled]], data: st.DataObject
) -> None:
    """However the name is spelled, and whatever stands beside it, inside it or around it."""
    name = data.draw(_STRINGS)
    escaped = st.lists(st.booleans(), min_size=len(name.value), max_size=len(name.value))
    again = _spelled(list(zip(name.value, data.draw(escaped), strict=True)))
    members = [pair for pair in rest if pair[0].value != name.value]
    for spelling in (name, again):
        place = data.draw(st.integers(0, len(members)))
        members.insert(place, (spelling, data.draw(_WRITTEN)))
    text = _object(members).text
    for beside in data.draw(st.lists(_members(_WRITTEN) | st.none(), max_size=5)):
        if beside is None:
            text = f"[{text}]"
        else:
            others = [pair for pair in beside if pair[0].value != "k"]
            text = _object([(Spelled("k", '"k"'), Spelled(None, text)), *others]).text
    with pytest.raises(EncodingRejected, match="json_duplicate_name"):
        strict_json.loads_object(f'{{"outer":{text}}}'.encode())


REFUSED = {
    "empty": b"",
    "white space": b"  ",
    "an array": b"[1]",
    "a string": b'"a"',
    "a number": b"1",
    "null": b"null",
    "a BOM": b"\xef\xbb\xbf{}",
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "UTF-16-LE": '{"a":1}'.encode("utf-16-le"),
    "UTF-16-BE": '{"a":1}'.encode("utf-16-be"),
    "UTF-32": '{"a":1}'.encode("utf-32"),
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a": Infinity}',
    "minus Infinity": b'{"a":-Infinity}',
    "1e999": b'{"a":1e999}',
    "minus 1e999": b'{"a":[-1e999]}',
    "1e999 in a long form": b'{"a":1' + b"0" * 400 + b".0}",
    "2^64": b'{"a":18446744073709551616}',
    "2^64 with white space": b'{"a": 18446744073709551616}',
    "below -2^63": b'{"a":-9223372036854775809}',
    "5,000 digits": b'{"a":' + b"9" * 5000 + b"}",
    "5,000 digits, negative": b'{"a": -' + b"9" * 5000 + b"}",
    "a leading zero": b'{"a":01}',
    "a lone surrogate": rb'{"a":"\ud800"}',
    "a lone surrogate in a name": rb'{"\udfff":1}',
    "surrogates in the wrong order": rb'{"a":"\ude00\ud83d"}',
    "a surrogate in bytes": b'{"a":"\xed\xa0\x80"}',
    "an overlong form": b'{"a":"\xc0\x80"}',
    "beyond Unicode": b'{"a":"\xf4\x90\x80\x80"}',
    "a trailing comma": b'{"a":1,}',
    "a comment": b'{"a":1}//',
    "two objects": b"{}{}",
    "a NUL behind": b"{}\0",
    "a raw newline in a string": b'{"a":"\n"}',
    "an unfinished escape": rb'{"a":"\u12"}',
    "a name twice, once escaped": rb'{"a":1,"\u0061":2}',
    "an empty name twice": b'{"":1,"":1}',
    "the same pair twice": b'{"a":1,"a":1}',
    "a name twice, and as many colons when written again": rb'{"b":"\u003a","a":1,"a":1}',
    "a name twice, and as long when written again": b'{"":1,"":1e5}',
    "a name twice, behind a backslash": rb'{"b":"\\","a":1,"a":1}',
    "a name twice, and as many quotes when written again": rb'{"b":"\u0022\u0022","a":1,"a":1}',
}


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in REFUSED.items()])
def test_refused(data: bytes) -> None:
    with pytest.raises(EncodingRejected) as caught:
        strict_json.loads_object(data)
    assert caught.value.code in CODES
    assert str(caught.value) in CODES  # no part of the text


@pytest.mark.parametrize("number", [2**64 - 1, -(2**63), 10**19, -(10**18), 2**63])
def test_integers_of_64_bits_do_not_depend_on_white_space(number: int) -> None:
    """The fast path and the slow one agree."""
    for text in (f'{{"a":{number}}}', f'{{"a": {number} }}', f'{{"b":1,"a":{number}\n}}'):
        assert same(strict_json.loads_object(text.encode())["a"], number)


@pytest.mark.parametrize(
    "depth", [254, 255, 256, 300, 900, 1000, 1023, 1024, 5000, 20_000, 400_000]
)
@pytest.mark.parametrize("space", ["", " "])
@pytest.mark.parametrize("kind", ["array", "object", "mixed", "never closed"])
def test_deep_nesting_is_refused(depth: int, space: str, kind: str) -> None:
    opening, closing = {
        "array": ("[", "]"),
        "object": ('{"a":', "}"),
        "mixed": ('[{"a":', "}]"),
        "never closed": ("[", ""),
    }[kind]
    inner = "1" if kind != "array" else ""
    text = f'{{"a":{space}{opening * depth}{inner}{closing * depth}}}'
    with pytest.raises(EncodingRejected):
        strict_json.loads_object(text.encode())


def test_nesting_is_bounded_by_itself_and_not_by_the_callers_stack() -> None:
    """Near the end of the stack there is still no RecursionError; 200 levels are always fine."""
    outcomes: set[str] = set()

    def at_depth(frames: int, data: bytes) -> None:
        if frames:
            return at_depth(frames - 1, data)
        try:
            strict_json.loads_object(data)
            outcomes.add("accepted")
        except EncodingRejected:
            outcomes.add("refused")
        return None

    slow_path = b'{"a": ' + b"[" * 200 + b"]" * 200 + b"}"
    frames = sys.getrecursionlimit() - 250
    thread = threading.Thread(target=at_depth, args=(frames, slow_path))
    thread.start()
    thread.join()
    assert outcomes <= {"accepted", "refused"}
    assert len(outcomes) == 1


def test_memory_is_bounded_by_the_text() -> None:
    data = b'{"a":[' + b"[]," * 2000 + b"1]}"
    tracemalloc.start()
    strict_json.loads_object(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 150 * len(data)


@pytest.mark.parametrize(
    "number",
    [
        "1.9999999999999999999999",
        "-0.0000000000000000000001",
        "99999999999999999999.5",
        "-99999999999999999999.5",
        "99999999999999999999e1",
        "99999999999999999999E-1",
        "1e0000000000000000000001",
        "1e+0000000000000000000001",
        "1E-0000000000000000000001",
        "-1.5e-00000000000000000000001",
    ],
)
def test_digits_that_are_no_integer_may_be_many(number: str) -> None:
    text = f'{{"a" :[{number}]}}'
    assert strict_json.loads_object(text.encode()) == json.loads(text)
