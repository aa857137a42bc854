"""Operations on a token's members, their bytes and their text. Every one takes any input."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeAlias

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

# --- members: a list of names and JSON texts, changed in place ------------------------------------

Pairs: TypeAlias = list[tuple[str, str]]


def _set(pairs: Pairs, name: str, value: str) -> None:
    for place, (known, _) in enumerate(pairs):
        if known == name:
            pairs[place] = (name, value)
            return
    pairs.append((name, value))


def _drop(pairs: Pairs, name: str) -> None:
    pairs[:] = [one for one in pairs if one[0] != name]


def _add(pairs: Pairs, name: str, value: str, place: int) -> None:
    pairs.insert(place % (len(pairs) + 1), (name, value))


def _rename(pairs: Pairs, name: str, other: str) -> None:
    pairs[:] = [(other if known == name else known, value) for known, value in pairs]


MEMBERS: dict[str, Callable[..., None]] = {
    "set": _set, "drop": _drop, "add": _add, "rename": _rename,
}  # fmt: skip

# --- bytes of the JSON ------------------------------------------------------------------------


def put(data: bytes, place: int, hexadecimal: str) -> bytes:
    place %= len(data) + 1
    return data[:place] + bytes.fromhex(hexadecimal) + data[place:]


def cut(data: bytes, place: int, count: int) -> bytes:
    place %= len(data) or 1
    return data[:place] + data[place + count :]


def flip(data: bytes, bit: int) -> bytes:
    if not data:
        return data
    bit %= 8 * len(data)
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def _encode(data: bytes, encoding: str) -> bytes:
    return data.decode("utf-8", "replace").encode(encoding, "replace")


def _spaced(data: bytes, style: str) -> bytes:
    try:
        pairs = json.loads(data, object_pairs_hook=_Pairs)
        return _dump(pairs, style).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):
        return data


class _Pairs(list[Any]):
    """An object's members, duplicates and all."""


def _dump(value: Any, style: str) -> str:
    colon, comma, ascii_only = {"wide": (" : ", " , ", True), "raw": (":", ",", False)}[style]
    if isinstance(value, _Pairs):
        return "{" + comma.join(_dump(k, style) + colon + _dump(v, style) for k, v in value) + "}"
    if isinstance(value, list):
        return "[" + comma.join(_dump(one, style) for one in value) + "]"
    return json.dumps(value, ensure_ascii=ascii_only)


BYTES: dict[str, Callable[..., bytes]] = {
    "put": put, "cut": cut, "flip": flip, "encode": _encode, "spaced": _spaced,
}  # fmt: skip

# --- text ---------------------------------------------------------------------------------------


def _spare_bits(text: str, bits: int) -> str:
    """Set bits that mean nothing in a last character that has any."""
    spare = {2: 15, 3: 3}.get(len(text) % 4, 0)
    if not spare or text[-1] not in _ALPHABET:
        return text
    return text[:-1] + _ALPHABET[_ALPHABET.index(text[-1]) ^ (bits % spare + 1)]


def _swap_segments(text: str, one: int, two: int) -> str:
    segments = text.split(".")
    one, two = one % len(segments), two % len(segments)
    segments[one], segments[two] = segments[two], segments[one]
    return ".".join(segments)


def _place(text: str, place: int) -> int:
    return place % (len(text) + 1)


TEXT: dict[str, Callable[..., str]] = {
    "put": lambda text, place, piece: (
        text[: _place(text, place)] + piece + text[_place(text, place) :]
    ),
    "cut": lambda text, place, count: (
        text[: _place(text, place)] + text[_place(text, place) + count :]
    ),
    "case": lambda text, place: (
        text[: _place(text, place)]
        + text[_place(text, place) : _place(text, place) + 1].swapcase()
        + text[_place(text, place) + 1 :]
    ),
    "standard": lambda text: text.replace("-", "+").replace("_", "/"),
    "pad": lambda text: text + "=" * (-len(text) % 4),
    "end": lambda text, piece: text + piece,
    "front": lambda text, piece: piece + text,
    "spare": _spare_bits,
    "swap": _swap_segments,
    "twice": lambda text: text + "." + text,
}
