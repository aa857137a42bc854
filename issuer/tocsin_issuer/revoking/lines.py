"""The lines of a bulk revocation: cut out of a stream of bytes, and read one by one. No IO.

A line is a JSON object ``{"jti": …, "exp": …}``, or ``jti exp`` with white space between the two.
Empty lines count, and mean nothing.
"""

from typing import Annotated, Final

from msgspec import Meta, Struct, ValidationError, convert

from tocsin_issuer.revoking.request import MAX_EXP
from tocsin_schemas import strict_json
from tocsin_schemas.errors import EncodingRejected, RequestRejected

MAX_LINE: Final = 2048
"""Bytes; a jti of 255 characters fits however it is escaped."""

_MAX_DIGITS: Final = 13


class _Line(Struct, frozen=True, forbid_unknown_fields=True):
    jti: Annotated[str, Meta(min_length=1, max_length=255)]
    exp: Annotated[int, Meta(gt=0, lt=MAX_EXP)]


class LineCutter:
    """Keeps the piece that may go on in the next chunk, and of one that is too long no more than
    shows that it is.
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that are whole now."""
        *lines, rest = (self._rest + chunk).split(b"\n")
        self._rest = rest[: MAX_LINE + 1]
        return lines

    def end(self) -> list[bytes]:
        """What stands behind the last line feed."""
        rest, self._rest = self._rest, b""
        return [rest] if rest else []


def read(line: bytes) -> tuple[str, int] | None:
    """The jti and exp (seconds of UTC) of a line; None of an empty one.

    Raises:
        RequestRejected: ``line_too_long`` or ``line_malformed``.
    """
    if len(line) > MAX_LINE:
        raise RequestRejected("line_too_long", "a line is too long")
    line = line.strip()
    if not line:
        return None
    try:
        members = strict_json.loads_object(line) if line.startswith(b"{") else _words(line)
        found = convert(members, _Line)
    except (EncodingRejected, ValidationError, ValueError):
        raise RequestRejected("line_malformed", "no jti and exp") from None
    return found.jti, found.exp


def _words(line: bytes) -> dict[str, object]:
    jti, exp = line.decode().split()
    if not (exp.isascii() and exp.isdigit() and len(exp) <= _MAX_DIGITS and jti.isprintable()):
        raise ValueError("not a jti and an exp")
    return {"jti": jti, "exp": int(exp)}
