"""What it costs to refuse a token, next to what it costs to accept one.

Every row of the hostile list (``tests/verifier_agent/hostile``), and some made to be slow, against
a good token at first sight, and, where the row is longer than a good token, against a good one of
the same length (of 8 KiB, where it is longer still). Rows are signed with RSA where their kind does
not matter, and the good tokens are signed with the key that the row names, so that what is compared
is the verifier and not the algorithms.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.bars import Bar, report
from tests.support.clock import NOW
from tests.support.forge import header_of, octets, seal, token
from tests.support.tokens import AUDIENCE, ISSUER, claims
from tests.verifier_agent.hostile import build
from tests.verifier_agent.hostile.build import EC, ED, JWKS, MAIN, RSA, Builder, nest
from tests.verifier_agent.hostile.rows import ROWS
from tocsin_issuer.keys.signer import PrivateKeySigner
from tocsin_schemas.errors import TokenRejected
from tocsin_verifier_agent import Verifier

BAR = 2.0
BARS = (Bar("worst_over_same_length", "<=", BAR),)
ROUNDS = 15
WORST_ROUNDS = 101
WORST = 12
MAX_LENGTH = 8192
# What an attacker without a key can cause: these come before the signature, or are its refusal.
WITHOUT_A_KEY = frozenset({"size", "segments", "header", "kid", "alg", "signature"})


@dataclass
class Row:
    """One class of token; times in microseconds."""

    name: str
    length: int
    code: str
    rejected_us: float
    accepted_us: float
    same_length_us: float

    @property
    def over_accepted(self) -> float:
        """Against a good token of usual length."""
        return self.rejected_us / self.accepted_us

    @property
    def over_same_length(self) -> float:
        """Against a good token as long as it is."""
        return self.rejected_us / self.same_length_us

    @property
    def over(self) -> float:
        """What the bar is on: long tokens cost more, good or bad."""
        return self.rejected_us / max(self.same_length_us, self.accepted_us)


def _canonical(**changes: Any) -> dict[str, Any]:
    """Claims in the order in which our issuer writes them."""
    return dict(sorted(claims(**changes).items()))


def _payload(front: str = "", **changes: Any) -> str:
    members = json.dumps(_canonical(**changes), separators=(",", ":"))
    return "{" + front + members[1:]


def _signed(front: str = "", **changes: Any) -> str:
    return seal(header_of(RSA), _payload(front, **changes), RSA.sign)


def _bad_signature(front: str = "", header: str = "") -> str:
    head = "{" + header + json.dumps(header_of(RSA))[1:]
    return seal(head, _payload(front), lambda _: bytes(256))


def _numbers(count: int, number: str) -> str:
    return ",".join([number] * count)


SLOW: list[tuple[str, Builder]] = [
    # without a key: the header is read before the signature, and the signature is no good
    ("no key: header of 1.4 KB, names twice", lambda: _bad_signature("", '"x":1,' * 230)),
    ("no key: header of 1.4 KB of spaces", lambda: _bad_signature("", " " * 1300)),
    (
        "no key: header of 1.4 KB of floats",
        lambda: _bad_signature("", f'"x":[{_numbers(250, "1e-7")}],'),
    ),
    (
        "no key: header of 1.4 KB of names",
        lambda: _bad_signature("", "".join(f'"{n}":1,' for n in range(150))),
    ),
    ("no key: header nested 250 deep", lambda: _bad_signature("", f'"x":{nest(250)},')),
    (
        "no key: header of 1.4 KB of escapes",
        lambda: _bad_signature("", '"x":"' + r"\u0041" * 210 + '",'),
    ),
    ("no key: payload of 6 KB", lambda: _bad_signature(f'"x":"{"x" * 5600}",')),
    ("no key: 7,000 bytes of signature", lambda: build.good() + "A" * 7000),
    # with a key, or as a faulty issuer writes them: all of the payload is read
    ("names twice, 900 of them", lambda: _signed('"x":1,' * 900)),
    (
        "900 names and the last twice",
        lambda: _signed("".join(f'"{n}":1,' for n in range(600)) + '"0":1,'),
    ),
    ("5 KB of spaces, and a name twice", lambda: _signed('"x":1,' + " " * 5200 + '"x":1,')),
    ("1,000 floats and a name twice", lambda: _signed(f'"x":[{_numbers(1000, "1e-7")}],"x":1,')),
    ("escapes, and a name twice", lambda: _signed('"x":"' + r"\u0041" * 850 + '","x":1,')),
    ("250 deep, and a name twice", lambda: _signed(f'"x":{nest(250)},"x":1,')),
    (
        "20 times 250 deep, and a name twice",
        lambda: _signed(f'"x":[{_numbers(10, nest(240))}],"x":1,'),
    ),
    (
        "integers beyond 64 bits at the end",
        lambda: _signed(f'"x":[{_numbers(900, "1.0")},{"9" * 20}],'),
    ),
    ("5,000 digits", lambda: _signed(f'"x":{"9" * 5000},')),
    ("a fraction of 5,000 digits, expired", lambda: _signed(f'"x":1.{"9" * 5000},', exp=NOW - 99)),
    ("900 members, expired", lambda: _signed("".join(f'"{n}":1,' for n in range(600)), exp=1)),
    ("1,000 audiences, none ours", lambda: _signed(aud=["x"] * 1000)),
    ("1,000 perms and a number", lambda: _signed(perms=["x"] * 1000 + [1])),
    ("5 KB of scope, no jti", lambda: _signed(scope="x " * 2500, jti=None)),
    ("actors without end", lambda: _signed(act=_actors(200))),
    ("a long sub", lambda: _signed(sub="s" * 5000)),
    ("a claim too many, and expired", lambda: _signed('"x":1,', exp=1)),
    ("expired, canonical", lambda: _signed(exp=1)),
    ("another audience, canonical", lambda: _signed(aud="https://billing.example")),
]


def _actors(levels: int) -> dict[str, Any]:
    actor: dict[str, Any] = {"sub": "a"}
    for _ in range(levels):
        actor = {"act": actor, "sub": "a"}
    return actor


def _new_verifier() -> Verifier:
    return Verifier.from_jwks(JWKS, issuer=ISSUER, audience=AUDIENCE, clock=lambda: NOW)


def _microseconds(work: Callable[[], object]) -> float:
    began = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - began) / 1000


def _refusal(verifier: Verifier, text: Any) -> str:
    try:
        verifier.verify(text)
    except TokenRejected as rejected:
        return rejected.code
    raise SystemExit("a hostile token was accepted")


def _named_key(text: Any) -> PrivateKeySigner:
    """The key that the row's header names, if it names one of ours, else the RSA key."""
    try:
        head = str(text).split(".", 1)[0]
        kid = json.loads(urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return RSA
    return next((key for key in (EC, ED) if key.kid == kid), RSA)


def _good(key: PrivateKeySigner, length: int = 0) -> str:
    """A token never seen before, as our issuer writes it, of about that length."""
    short = token(key, octets(_payload()))
    if length <= len(short) + 64:
        return short
    filler = "x" * ((min(length, MAX_LENGTH - 8) - len(short)) * 3 // 4 - 24)
    return token(key, octets(_payload(f'"filler":"{filler}",')))


def measure(name: str, text: Any, rounds: int) -> Row:
    """Refuse it, accept good ones; turn and turn about, so that what slows one slows all."""
    verifier = _new_verifier()
    length = len(text) if isinstance(text, (str, bytes)) else 0
    code = _refusal(verifier, text)
    key = _named_key(text)
    verifier.verify(_good(key))
    rejected, accepted, same_length = [], [], []
    is_long = length > len(_good(key)) + 64
    for _ in range(rounds):
        usual, long = _good(key), _good(key, length)
        accepted.append(_microseconds(lambda text=usual: verifier.verify(text)))  # type: ignore[misc]
        rejected.append(_microseconds(lambda: _refusal(verifier, text)))
        if is_long:
            same_length.append(_microseconds(lambda text=long: verifier.verify(text)))  # type: ignore[misc]
    of_its_length = same_length if is_long else accepted
    return Row(name, length, code, median(rejected), median(accepted), median(of_its_length))


def run() -> list[Row]:
    """Every row, the worst first; the worst are measured again, for longer."""
    MAIN.key = RSA
    made = {name: builder() for name, builder in [*ROWS, *SLOW]}
    rows = [measure(name, text, ROUNDS) for name, text in made.items()]
    rows.sort(key=lambda row: row.over, reverse=True)
    again = [measure(row.name, made[row.name], WORST_ROUNDS) for row in rows[:WORST]]
    return sorted([*again, *rows[WORST:]], key=lambda row: row.over, reverse=True)


def figures(rows: Sequence[Row]) -> dict[str, Any]:
    """The keys of the benchmark's JSON."""
    worst = rows[0]
    without = next(row for row in rows if row.code in WITHOUT_A_KEY)
    return {
        "classes": len(rows),
        "accepted_us": round(median(row.accepted_us for row in rows), 1),
        "worst_rejected_us": round(max(row.rejected_us for row in rows), 1),
        "worst_class": worst.name,
        "worst_over_accepted": round(max(row.over_accepted for row in rows), 2),
        "worst_over_same_length": round(max(row.over for row in rows), 2),
        "worst_without_a_key": without.name,
        "worst_without_a_key_over": round(without.over, 2),
        "over_the_bar": sum(row.over > BAR for row in rows),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object only")
    as_json = parser.parse_args(arguments).json
    rows = run()
    if not as_json:
        print(f"{'class':<44} {'chars':>8} {'code':<10} {'us':>7} {'/good':>6} {'/as long':>8}")
        for row in rows[:30]:
            print(
                f"{row.name[:44]:<44} {row.length:>8} {row.code:<10} {row.rejected_us:>7.1f} "
                f"{row.over_accepted:>6.2f} {row.over:>8.2f}"
            )
    return report(figures(rows), BARS, only_json=as_json)


if __name__ == "__main__":
    sys.exit(main())
