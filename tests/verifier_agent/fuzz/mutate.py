"""Random operations: each draws everything from the generator that it is given."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, TypeVar

from tests.support.clock import NOW
from tests.support.tokens import AUDIENCE, ISSUER
from tests.verifier_agent.fuzz.draft import ALGS, Draft, Op
from tests.verifier_agent.fuzz.pools import (
    ALG_NAMES,
    CLAIMS,
    COUNTS,
    DEPTHS,
    EDGES,
    ENCODINGS,
    FORMS,
    HEADER_NAMES,
    HEADER_VALUES,
    KIDS,
    LEEWAYS,
    NUMBERS,
    OTHERS,
    PIECES,
    RAW,
    STRINGS,
    TIMES,
    TYPES,
)

T = TypeVar("T")


def value(rng: Random, depth: int = 0) -> str:
    """Some JSON, or nearly."""
    roll = rng.random()
    if roll < 0.30:
        return rng.choice(NUMBERS)
    if roll < 0.60:
        return rng.choice(STRINGS)
    if roll < 0.80 or depth > 2:
        return rng.choice(OTHERS)
    if roll < 0.86:
        levels = rng.choice(DEPTHS)
        return "[" * levels + "]" * levels
    if roll < 0.90:
        levels = rng.choice(DEPTHS) // 3
        return '{"a":' * levels + "1" + "}" * levels
    if roll < 0.92:
        return "[" + ",".join(["7"] * rng.choice(COUNTS)) + "]"
    inner = [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    if roll < 0.95:
        return "[" + ",".join(inner) + "]"
    return "{" + ",".join(f'"m{number}":{one}' for number, one in enumerate(inner)) + "}"


def _time(rng: Random) -> str:
    edges = LEEWAYS if rng.random() < 0.5 else EDGES
    moment = NOW + rng.choice((-1, 1)) * rng.choice(edges)
    roll = rng.random()
    if roll < 0.7:
        return str(moment)
    if roll < 0.8:
        return f"{moment}.{rng.choice(('0', '5', '9'))}"
    return rng.choice((f'"{moment}"', f"{moment}e0", f"{moment}000", f"[{moment}]", f"-{moment}"))


def _audience(rng: Random) -> str:
    ours = rng.choice((AUDIENCE, AUDIENCE, AUDIENCE[:-1], AUDIENCE + "/", AUDIENCE.upper()))
    one = json.dumps(ours)
    return rng.choice(
        (one, f"[{one}]", f'["x",{one}]', f"[{one},1]", f"[{one},null]", f"[[{one}]]")
    )


def _issuer(rng: Random) -> str:
    near = rng.choice((ISSUER, ISSUER + "/", ISSUER[:-1], ISSUER.upper(), "", "https://"))
    one = json.dumps(near)
    return rng.choice((one, one, f"[{one}]", f'{{"iss":{one}}}'))


def _identifier(rng: Random) -> str:
    return rng.choice((*STRINGS, json.dumps(["a"]), "7", "true", "null", "{}"))


def _actor(rng: Random) -> str:
    levels = rng.choice((1, 2, 7, 8, 9, 10, 40))
    inner = rng.choice(('{"sub":"a"}', "{}", '"a"', '{"sub":1}', "null", "[]"))
    return '{"sub":"g","act":' * levels + inner + "}" * levels


def _origin(rng: Random) -> str:
    moment = str(NOW - rng.choice(EDGES))
    forms = (
        f'{{"jti":"p","iat":{moment}}}',
        f'{{"jti":1,"iat":{moment}}}',
        f'{{"jti":"p","iat":{_time(rng)}}}',
        '{"jti":"p"}',
        "[]",
        '"p"',
    )
    return rng.choice(forms)


_SHAPED: dict[str, Callable[[Random], str]] = {
    **dict.fromkeys(TIMES, _time),
    "aud": _audience,
    "iss": _issuer,
    "act": _actor,
    "orig": _origin,
    **dict.fromkeys(("sub", "jti", "sid", "client_id", "scope", "role"), _identifier),
}


def _escaped(name: str) -> str:
    """The same name to whoever reads escapes."""
    return f"\\u{ord(name[0]):04x}{name[1:]}"


def _payload(rng: Random) -> Op:
    name = rng.choice(CLAIMS)
    roll = rng.random()
    if roll < 0.35:
        return ("payload", "set", name, _SHAPED.get(name, value)(rng))
    if roll < 0.45:
        return ("payload", "set", name, value(rng))
    if roll < 0.70:
        return ("payload", "set", f"x{rng.randrange(5)}", value(rng))
    if roll < 0.80:
        return ("payload", "drop", name)
    if roll < 0.90:
        return ("payload", "add", name, _SHAPED.get(name, value)(rng), rng.randrange(32))
    other = rng.choice(
        (name.upper(), name + " ", f"\\u{ord(name[0]):04x}{name[1:]}", name + "\\u0000")
    )
    return ("payload", "rename", name, other)


def _header(rng: Random) -> Op:
    roll = rng.random()
    if roll < 0.25:
        return ("header", "set", "alg", json.dumps(rng.choice(ALG_NAMES)))
    if roll < 0.50:
        return ("header", "set", "typ", json.dumps(rng.choice(TYPES)))
    if roll < 0.60:
        return ("header", "set", "kid", f'"{rng.choice(KIDS)}"')
    if roll < 0.80:
        return ("header", "set", rng.choice(HEADER_NAMES), rng.choice(HEADER_VALUES))
    name = rng.choice(("alg", "kid", "typ", "x"))
    if roll < 0.87:
        return ("header", "set", name, value(rng))
    if roll < 0.92:
        return ("header", "drop", name)
    if roll < 0.97:
        return (
            "header",
            "add",
            name,
            rng.choice(('"none"', '"JWT"', '"at+jwt"', '"x"')),
            rng.randrange(8),
        )
    return ("header", "rename", name, f"\\u{ord(name[0]):04x}{name[1:]}")


def _bytes(rng: Random) -> Op:
    layer = rng.choice(("header_bytes", "payload_bytes", "payload_bytes"))
    roll = rng.random()
    if roll < 0.30:
        return (layer, "spaced", rng.choice(("wide", "raw")))
    if roll < 0.50:
        return (layer, "put", rng.randrange(1 << 16), rng.choice(RAW))
    if roll < 0.65:
        return (layer, "cut", rng.randrange(1 << 16), rng.randrange(1, 4))
    if roll < 0.80:
        return (layer, "flip", rng.randrange(1 << 16))
    return (layer, "encode", rng.choice(ENCODINGS))


def _text(rng: Random) -> Op:
    layer = rng.choice(("header_text", "payload_text", "signature_text", "token"))
    roll = rng.random()
    place = rng.randrange(1 << 16)
    if roll < 0.35:
        return (layer, "put", place, rng.choice(PIECES))
    if roll < 0.45:
        return (layer, "cut", place, rng.randrange(1, 5))
    if roll < 0.55:
        return (layer, "case", place)
    if roll < 0.63:
        return (layer, "standard")
    if roll < 0.72:
        return (layer, "pad")
    if roll < 0.85:
        return (layer, "spare", rng.randrange(15))
    if roll < 0.95:
        return (layer, rng.choice(("end", "front")), rng.choice((*PIECES, "Bearer ")))
    if roll < 0.98:
        return ("token", "swap", rng.randrange(3), rng.randrange(3))
    return ("token", "twice")


def _signature(rng: Random) -> Op:
    roll = rng.random()
    if roll < 0.25:
        return ("signature", "negative s")
    if roll < 0.40:
        return ("signature", "flip", rng.randrange(1 << 16))
    if roll < 0.50:
        return ("signature", "put", rng.choice((0, 32, 64, 255, 256)), rng.choice(("00", "01")))
    if roll < 0.60:
        return ("signature", "cut", rng.randrange(1 << 16), rng.choice((1, 2, 8, 300)))
    if roll < 0.70:
        return ("signature", "half", rng.choice("rs"), rng.choice(("zero", "order", "one", "ones")))
    if roll < 0.80:
        return ("signature", rng.choice(("swap", "plus order", "zeros", "hexadecimal")))
    return _signer(rng)


def _signer(rng: Random) -> Op:
    how = rng.randrange(8)
    if how < 2:
        return ("sign", "key", rng.choice(ALGS))
    if how < 3:
        return ("sign", "thief", rng.choice(ALGS))
    if how < 5:
        return ("sign", "hmac", rng.choice(("sha256", "sha384", "sha512")), rng.choice(FORMS))
    if how < 6:
        return ("sign", "rsa", rng.choice(("pss", "sha384", "sha512")))
    if how < 7:
        return ("sign", "curve", *rng.choice((("P-384", 48), ("secp256k1", 32))))
    return rng.choice((("sign", "der"), ("sign", "nobody"), ("sign", "other text", "RS256")))


def _attack(rng: Random) -> tuple[Op, ...]:
    """Operations that belong together: one of them alone would only be a bad signature."""
    roll = rng.randrange(4)
    if roll == 0:
        digest, form = rng.choice(("256", "384", "512")), rng.choice(FORMS)
        return (
            ("header", "set", "kid", '"@kid:RS256"'),
            ("header", "set", "alg", f'"HS{digest}"'),
            ("sign", "hmac", f"sha{digest}", form),
        )
    if roll == 1:
        name = json.dumps(rng.choice(("none", "None", "nOnE")))
        return (("header", "set", "alg", name), ("sign", "nobody"))
    if roll == 2:
        return (
            ("header", "set", "alg", '"ES256"'),
            ("header", "set", "jwk", "@jwk:thief"),
            ("sign", "thief", "ES256"),
        )
    alg = rng.choice(ALGS)
    return (
        ("header", "set", "alg", json.dumps(alg)),
        ("header", "set", "kid", f'"@kid:{rng.choice(ALGS)}"'),
        ("sign", "key", alg),
    )


_KINDS: Sequence[tuple[Callable[[Random], Op | tuple[Op, ...]], int]] = (
    (_payload, 46), (_header, 20), (_bytes, 14), (_text, 9), (_signature, 7), (_attack, 4),
)  # fmt: skip


def mutate(rng: Random, draft: Draft) -> Draft:
    """One to five operations more, mostly one or two."""
    count = 1
    while count < 5 and rng.random() < 0.4:
        count += 1
    kinds, weights = zip(*_KINDS, strict=True)
    chosen: list[Any] = rng.choices(kinds, weights, k=count)
    for kind in chosen:
        made = kind(rng)
        draft = draft.then(*(made if isinstance(made[0], tuple) else (made,)))
    return draft
