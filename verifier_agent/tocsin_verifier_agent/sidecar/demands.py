"""What a proxy's configuration demands of a token beyond being good: in the query, or in headers.

Demands only ever add up: every permission and audience named anywhere must be there, and the
smallest staleness counts. So a client that gets a demand of its own past a proxy can refuse itself
and nothing else.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from tocsin_schemas.errors import RequestRejected
from tocsin_verifier_agent.core.verified import Verified

MAX_WORDS: Final = 32
HEADERS: Final = {
    b"x-tocsin-require": "require",
    b"x-tocsin-audience": "audience",
    b"x-tocsin-max-staleness": "max_staleness",
}
# RFC 6749 appendix A.4: what may stand in a scope, so that one may stand in a challenge too.
_WORD: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,255}")
_SECONDS: Final = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,3})?")


@dataclass(frozen=True, slots=True)
class Demands:
    """``max_staleness`` is in seconds."""

    permissions: tuple[str, ...] = ()
    audiences: tuple[str, ...] = ()
    max_staleness: float | None = None

    def are_for(self, verified: Verified) -> bool:
        """Whether the token is for every audience that is named."""
        aud = verified.token.aud
        given = (aud,) if type(aud) is str else aud
        return set(self.audiences) <= set(given)


NONE: Final = Demands()


def demands_of(headers: Iterable[tuple[bytes, bytes]], query: bytes) -> Demands:
    """The demands of one request; ``query`` is empty where it is a client's and no proxy's.

    Raises:
        RequestRejected: ``demand_malformed`` (400).
    """
    pairs = [
        (name, value.decode("latin-1"))
        for header, value in headers
        if (name := HEADERS.get(header)) is not None
    ]
    if query:
        pairs += _parameters(query)
    if not pairs:
        return NONE
    words: dict[str, list[str]] = {"require": [], "audience": []}
    limits: list[float] = []
    for name, value in pairs:
        if name == "max_staleness":
            if not _SECONDS.fullmatch(value):
                raise _malformed()
            limits.append(float(value))
        else:
            words[name] += _words(value)
    return Demands(tuple(words["require"]), tuple(words["audience"]), min(limits, default=None))


def _parameters(query: bytes) -> list[tuple[str, str]]:
    """A name that is not known is a demand that nobody would enforce: refused."""
    try:
        pairs = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MAX_WORDS,
        )
    except ValueError:
        raise _malformed() from None
    if any(name not in HEADERS.values() for name, _ in pairs):
        raise _malformed()
    return pairs


def _words(value: str) -> list[str]:
    found = value.split(" ")
    if len(found) > MAX_WORDS or not all(map(_WORD.fullmatch, found)):
        raise _malformed()
    return found


def _malformed() -> RequestRejected:
    return RequestRejected("demand_malformed", "the demand is not understood")
