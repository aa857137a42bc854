"""The seeds, the witnesses of known differences, and findings of the past, as descriptions."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.clock import NOW
from tests.support.keys import public_jwk, signer
from tests.support.tokens import AUDIENCE, ISSUER
from tests.verifier_agent.fuzz.draft import ALGS, Draft, Members, Op

FOLDER = Path(__file__).parent / "corpus"


@dataclass(frozen=True)
class Known:
    """A draft, and what it is known to show."""

    shows: str
    draft: Draft


def _text(value: Any) -> Any:
    """Words that begin with @ stand for what a run knows and a file cannot."""
    if isinstance(value, dict):
        return {name: _text(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_text(one) for one in value]
    if not isinstance(value, str) or not value.startswith("@"):
        return value
    if value.startswith("@now"):
        return NOW + int(value[4:] or 0)
    if value.startswith("@x"):
        return "x" * int(value[2:])
    return {"@audience": AUDIENCE, "@issuer": ISSUER}[value]


def resolved(op: Op) -> Op:
    """With the kids of this run's keys, and the moment of the test."""
    return tuple(_now_and_kids(word) if isinstance(word, str) else word for word in op)


def _now_and_kids(word: str) -> str:
    if "@" not in word:
        return word
    for alg in ALGS:
        word = word.replace(f"@kid:{alg}", signer(alg, "token").kid)
    word = word.replace("@jwk:thief", json.dumps(public_jwk(signer("ES256", "thief"))))
    return re.sub(r"@now([+-]\d+)?", lambda found: str(NOW + int(found[1] or 0)), word)


def _members(members: dict[str, Any]) -> Members:
    return tuple(
        (name, json.dumps(value, ensure_ascii=False, separators=(",", ":")))
        for name, value in members.items()
        if value is not None
    )


@cache
def seeds() -> dict[str, Draft]:
    """Good tokens, by name: all three must accept them as they are."""
    found: dict[str, Draft] = {}
    for one in json.loads((FOLDER / "seeds.json").read_text()):
        alg = one["alg"]
        header = {"alg": alg, "kid": signer(alg, "token").kid, "typ": "at+jwt", **one["header"]}
        claims = {
            "iss": ISSUER,
            "sub": "subject-17",
            "aud": AUDIENCE,
            "client_id": "web",
            "iat": NOW - 120,
            "nbf": NOW - 120,
            "exp": NOW + 480,
            "jti": "2f0e0c9e-7a1e-4b7e-9c3e-1f6f0a3b5c7d",
            "sid": "session-3",
            "scope": "orders:read orders:write",
            **_text(one["claims"]),
        }
        if one.get("canonical", False):  # as our issuer writes them
            claims = dict(sorted(claims.items()))
        found[one["name"]] = Draft(one["name"], alg, _members(header), _members(claims))
    return found


@cache
def known(file: str) -> tuple[Known, ...]:
    """``witnesses`` or ``regressions``: operations on a seed, with what they are known to show."""
    return tuple(
        Known(one["shows"], seeds()[one["seed"]].then(*(tuple(op) for op in one["ops"])))
        for one in json.loads((FOLDER / f"{file}.json").read_text())
    )


def described(draft: Draft) -> dict[str, Any]:
    """A draft as it stands in those files."""
    return {"seed": draft.seed, "ops": [list(op) for op in draft.ops]}
