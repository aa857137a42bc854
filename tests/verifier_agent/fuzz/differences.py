"""Where the three may differ, and why: the one place where a difference is excused.

``LOOSER``: ours accepts, one of the others refuses. ``STRICTER``: both others accept, ours refuses
with that code. Each predicate is worked out from the token's own parts, without our code; the
corpus holds a witness for each entry, and an entry that nothing needs fails the test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from joserfc.registry import JWS_HEADER_REGISTRY

from tests.support.clock import NOW
from tests.verifier_agent.fuzz.lenient import Part, Seen
from tests.verifier_agent.fuzz.readers import NOT_READ, joserfc_leniently

DAY_S = 86_400
# The codes of a header and of a payload that are no strict JSON.
NO_JSON = {"header": "header", "payload": "payload"}


@dataclass(frozen=True)
class Looser:
    """``library`` refuses what ours accepts."""

    library: str
    reason: str
    applies: Callable[[Seen], bool]


@dataclass(frozen=True)
class Stricter:
    """Ours refuses with ``code`` what both others accept."""

    code: str
    reason: str
    applies: Callable[[Seen], bool]


_JOSERFC_KNOWS = frozenset(JWS_HEADER_REGISTRY)


def _but_for_the_header(seen: Seen) -> bool:
    """Whether joserfc accepts it too, once its own limits on headers are off."""
    return joserfc_leniently(seen.text).claims is not None


LOOSER: dict[str, Looser] = {
    "Ed25519 by its new name": Looser(
        "pyjwt",
        "RFC 9864 renamed EdDSA; PyJWT knows the old name alone",
        lambda seen: seen.header.members.get("alg") == "Ed25519",
    ),
    "an unknown header parameter": Looser(
        "joserfc",
        "RFC 7515 section 4: to be ignored; what names a key is refused by name",
        lambda seen: not seen.header.members.keys() <= _JOSERFC_KNOWS and _but_for_the_header(seen),
    ),
    "a header of more than 512 bytes": Looser(
        "joserfc",
        "ours may have 1,024 characters, 768 bytes",
        lambda seen: len(seen.header.data) > 512 and _but_for_the_header(seen),
    ),
    "a cty that is no string": Looser(
        "joserfc",
        "nothing of ours reads it",
        lambda seen: (
            any(not isinstance(seen.header.members.get(name, ""), str) for name in NOT_READ)
            and _but_for_the_header(seen)
        ),
    ),
}


def _is(value: object, kind: type) -> bool:
    return type(value) is kind


def _identifier(name: str, *, required: bool) -> Callable[[Seen], bool]:
    def bad(seen: Seen) -> bool:
        if name not in seen.claims:
            return required
        value = seen.claims[name]
        return not isinstance(value, str) or not 0 < len(value) <= 255

    return bad


def _odd_time(name: str) -> Callable[[Seen], bool]:
    return lambda seen: (
        name in seen.claims
        and (not _is(seen.claims[name], int) or not 0 < seen.claims[name] < 2**40)
    )


def _bad_actor(actor: Any, level: int = 1) -> bool:
    if not isinstance(actor, dict) or level > 8:
        return True
    sub = actor.get("sub")
    if not isinstance(sub, str) or not 0 < len(sub) <= 255:
        return True
    return "act" in actor and _bad_actor(actor["act"], level + 1)


def _bad_origin(seen: Seen) -> bool:
    origin = seen.claims.get("orig")
    if not isinstance(origin, dict):
        return "orig" in seen.claims
    iat = origin.get("iat")
    named = isinstance(origin.get("jti"), str) and 0 < len(origin["jti"]) <= 255
    return not named or type(iat) is not int or not 0 < iat < 2**40


def _json_reasons(where: str) -> dict[str, Stricter]:
    """A JSON text refused as a whole."""

    def part(seen: Seen) -> Part:
        return seen.header if where == "header" else seen.payload

    found: dict[str, tuple[str, Callable[[Seen], bool]]] = {
        f"a name twice in the {where}": (
            "RFC 8725 section 2.4: parsers disagree on which counts",
            lambda seen: part(seen).duplicates,
        ),
        f"a {where} that is not plain UTF-8": (
            "RFC 8259 section 8.1: UTF-8 and no byte order mark",
            lambda seen: part(seen).encoding != "utf-8",
        ),
        f"half a surrogate pair in the {where}": (
            "RFC 8259 section 8.2: what is read is unpredictable",
            lambda seen: part(seen).surrogates,
        ),
    }
    return {
        name: Stricter(NO_JSON[where], reason, applies) for name, (reason, applies) in found.items()
    }


STRICTER: dict[str, Stricter] = {
    **_json_reasons("header"),
    **_json_reasons("payload"),
    "a number beyond 64 bits": Stricter(
        NO_JSON["payload"],
        "RFC 8259 section 6: other parsers read another number",
        lambda seen: seen.payload.large_number,
    ),
    "deep nesting": Stricter(
        NO_JSON["payload"], "more than 254 levels", lambda seen: seen.payload.depth > 254
    ),
    "a payload of many values": Stricter(
        NO_JSON["payload"],
        "about 512 values, so that a token costs no more than its length",
        lambda seen: sum(map(seen.payload.data.count, (b",", b"[", b"{"))) > 512,
    ),
    "a header parameter that names a key or changes the text": Stricter(
        "header",
        "RFC 8725 section 3.10: nothing is fetched and no key is taken from a token",
        lambda seen: bool({"jwk", "jku", "x5u", "x5c", "b64", "crit"} & seen.header.members.keys()),
    ),
    "a long token": Stricter("size", "at most 8 KiB", lambda seen: len(seen.text) > 8192),
    "another kind of token": Stricter(
        "typ",
        "RFC 9068 section 2.1, RFC 8725 section 3.11: access tokens alone",
        lambda seen: (
            str(seen.header.members.get("typ")).lower().removeprefix("application/") != "at+jwt"
        ),
    ),
    "no exp": Stricter("exp", "RFC 9068 section 2.2", lambda seen: "exp" not in seen.claims),
    "an exp that is no whole number of seconds": Stricter(
        "exp", "one reading of a time", _odd_time("exp")
    ),
    "a life of more than a day, or of none": Stricter(
        "exp",
        "a revocation must outlive every token it hits",
        lambda seen: not 0 < seen.claims["exp"] - seen.claims["iat"] <= DAY_S,
    ),
    "no iat": Stricter("iat", "RFC 9068 section 2.2", lambda seen: "iat" not in seen.claims),
    "an iat that is no whole number of seconds": Stricter(
        "iat", "one reading of a time", _odd_time("iat")
    ),
    "issued more than 5 s ahead": Stricter(
        "iat", "cutoffs compare iat", lambda seen: seen.claims["iat"] > NOW + 5
    ),
    "an nbf that is no whole number of seconds": Stricter(
        "nbf", "one reading of a time", _odd_time("nbf")
    ),
    "no sub, or an empty or long one": Stricter(
        "sub", "RFC 9068 section 2.2", _identifier("sub", required=True)
    ),
    "no jti, or an empty or long one": Stricter(
        "jti", "RFC 9068 section 2.2", _identifier("jti", required=True)
    ),
    "a sid that is no name": Stricter("sid", "rules read it", _identifier("sid", required=False)),
    "a client_id that is no name": Stricter(
        "client_id", "rules read it", _identifier("client_id", required=False)
    ),
    "a scope that is no string": Stricter(
        "scope",
        "RFC 8693 section 4.2",
        lambda seen: not isinstance(seen.claims.get("scope", ""), str),
    ),
    "perms that are no array of strings": Stricter(
        "perms",
        "permissions are read from it",
        lambda seen: (
            not isinstance(seen.claims["perms"], list)
            or not all(isinstance(one, str) for one in seen.claims["perms"])
        ),
    ),
    "an act that is no chain of actors": Stricter(
        "act", "RFC 8693 section 4.1; rules read it", lambda seen: _bad_actor(seen.claims["act"])
    ),
    "an orig that names no token": Stricter("orig", "rules read it", _bad_origin),
    "a role that is no string": Stricter(
        "role",
        "permissions may be read from it",
        lambda seen: not isinstance(seen.claims["role"], str),
    ),
}
