"""PyJWT and joserfc say what must be accepted: what they mint, we accept and read the same way.

The other direction holds too, but for leeways: whatever we accept, they accept (exp up to 30 s
ago, nbf up to 30 s and iat up to 5 s ahead). ``STRICTER`` lists what they accept and we refuse.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import joserfc.jwt
import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

from tests.support.clock import NOW
from tests.support.forge import header_of, seal
from tests.support.keys import private_pem, public_jwk, signer
from tests.support.tokens import AUDIENCE, ISSUER, claims
from tocsin_schemas.errors import TokenRejected
from tocsin_verifier_agent import Verifier

KEYS = {alg: signer(alg, "token") for alg in ("RS256", "ES256", "Ed25519")}
JWKS = {"keys": [public_jwk(key) for key in KEYS.values()]}
# PyJWT and joserfc 1.x write the name of RFC 8037; RFC 9864 has renamed it.
HEADER_ALG = {"RS256": "RS256", "ES256": "ES256", "Ed25519": "EdDSA"}
TYPES = ["at+jwt", "application/at+jwt"]


def verify(text: str) -> dict[str, Any]:
    verifier = Verifier.from_jwks(JWKS, issuer=ISSUER, audience=AUDIENCE, clock=lambda: NOW)
    return dict(verifier.verify(text).claims)


def pyjwt_mint(alg: str, members: dict[str, Any], typ: str) -> str:
    key = KEYS[alg]
    headers = {"kid": key.kid, "typ": typ}
    return jwt.encode(members, private_pem(key), algorithm=HEADER_ALG[alg], headers=headers)


@cache
def joserfc_key(alg: str) -> Any:
    pem = private_pem(KEYS[alg])
    kinds: dict[str, Any] = {"RS256": RSAKey, "ES256": ECKey, "Ed25519": OKPKey}
    return kinds[alg].import_key(pem, {"kid": KEYS[alg].kid})


def joserfc_mint(alg: str, members: dict[str, Any], typ: str) -> str:
    header = {"alg": HEADER_ALG[alg], "kid": KEYS[alg].kid, "typ": typ}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it announces that EdDSA is an old name
        return joserfc.jwt.encode(header, members, joserfc_key(alg), [HEADER_ALG[alg]])


def pyjwt_read(text: str) -> dict[str, Any]:
    """As PyJWT reads it; it takes the time of the machine, so times are not checked here."""
    kid = jwt.get_unverified_header(text)["kid"]
    jwks = jwt.PyJWKSet.from_dict({"keys": [dict(one) for one in JWKS["keys"]]})
    options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
    algorithms = ["RS256", "ES256", "EdDSA", "Ed25519"]
    key = next(one for one in jwks.keys if one.key_id == kid)
    return jwt.decode(text, key, algorithms, options, audience=AUDIENCE, issuer=ISSUER)


def joserfc_read(text: str) -> dict[str, Any]:
    keys: Any = {"keys": [dict(one) for one in JWKS["keys"]]}
    algorithms = ["RS256", "ES256", "EdDSA", "Ed25519"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = joserfc.jwt.decode(text, KeySet.import_key_set(keys), algorithms).claims
    registry = joserfc.jwt.JWTClaimsRegistry(
        now=NOW,
        leeway=30,
        iss={"essential": True, "value": ISSUER},
        aud={"essential": True, "value": AUDIENCE},
    )
    registry.validate(read)
    return dict(read)


MINTS = [pytest.param(pyjwt_mint, id="pyjwt"), pytest.param(joserfc_mint, id="joserfc")]
READERS = (pyjwt_read, joserfc_read)
Mint = Callable[[str, dict[str, Any], str], str]

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "aud in an array": {"aud": [AUDIENCE]},
    "aud among others": {"aud": ["https://a.example", AUDIENCE, "https://b.example"]},
    "no optional claim": dict.fromkeys(("nbf", "sid", "scope", "client_id")),
    "every optional claim": {
        "role": "clerk",
        "perms": ["orders:read", "orders:write"],
        "act": {"sub": "gateway", "act": {"sub": "web"}},
        "orig": {"jti": "parent", "iat": NOW - 5},
        "auth_time": NOW - 100,
        "amr": ["pwd", "otp"],
    },
    "text of every plane": {"name": 'Zoë \u4e2d\u6587 \U0001f514 \u2028 \x7f \\ " /'},
    "numbers": {"a": 1.5, "b": -0.0, "c": 2**63 - 1, "d": 1e-9, "e": [0, -1]},
    "deep, but not too deep": {"x": json.loads("[" * 40 + "]" * 40)},
    "times at their edges": {"exp": NOW - 29, "nbf": NOW + 30},
    "a kid-like jti": {"jti": "2f0e0c9e-7a1e-4b7e-9c3e-1f6f0a3b5c7d"},
    "an empty scope": {"scope": "", "perms": []},
}


@pytest.mark.parametrize("mint", MINTS)
@pytest.mark.parametrize("alg", list(KEYS))
@pytest.mark.parametrize("typ", TYPES)
def test_what_they_mint_we_accept(mint: Mint, alg: str, typ: str) -> None:
    for name, changes in VARIANTS.items():
        iat = NOW - 600 if name == "times at their edges" else NOW
        members = claims(iat, **changes)
        read = verify(mint(alg, members, typ))
        assert read == members, name
        assert {k: type(v) for k, v in read.items()} == {k: type(v) for k, v in members.items()}


@pytest.mark.parametrize("alg", list(KEYS))
def test_both_names_of_ed25519_are_one_algorithm(alg: str) -> None:
    for name in (alg, HEADER_ALG[alg]):
        key = KEYS[alg]
        assert verify(seal(header_of(key, alg=name), claims(), key.sign))["sub"] == "subject-17"


_TEXT = st.text(max_size=20)  # hypothesis leaves lone surrogates out by default
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=6,
)
_IDENTIFIER = st.text(min_size=1, max_size=255)
_CLAIMS = st.fixed_dictionaries(
    {
        "sub": _IDENTIFIER,
        "jti": _IDENTIFIER,
        "aud": st.just(AUDIENCE)
        | st.lists(_TEXT, max_size=3).map(lambda others: [*others, AUDIENCE]),
        "exp": st.integers(NOW + 1, NOW + 86_000),
    },
    optional={
        "sid": _IDENTIFIER,
        "client_id": _IDENTIFIER,
        "scope": _TEXT,
        "perms": st.lists(_TEXT, max_size=3),
        "role": _TEXT,
        "act": st.builds(lambda sub: {"sub": sub}, _IDENTIFIER),
        "orig": st.builds(
            lambda name, iat: {"jti": name, "iat": iat}, _IDENTIFIER, st.integers(1, NOW)
        ),
    },
)
_PRIVATE = st.dictionaries(st.text(max_size=6).map("x-{}".format), _JSON, max_size=3)


@settings(max_examples=60, deadline=None)
@given(_CLAIMS, _PRIVATE, st.sampled_from(["ES256", "Ed25519"]), st.sampled_from(TYPES))
def test_any_claims_that_they_mint_we_read_the_same(
    chosen: dict[str, Any], private: dict[str, Any], alg: str, typ: str
) -> None:
    members = {**claims(), **chosen, **private}
    for mint in (pyjwt_mint, joserfc_mint):
        text = mint(alg, members, typ)
        if len(text) <= 8192:
            assert verify(text) == members


# Near misses: claims of which a good part is accepted and a good part is not.
_TIME = st.sampled_from([NOW - 700, NOW - 31, NOW - 30, NOW - 29, NOW - 1, NOW, NOW + 5, NOW + 6])
_ODD = st.sampled_from(
    [None, True, 0, -1, 1.5, "", "x", [], ["x"], {}, {"sub": "x"}, NOW, str(NOW)]
)
_NEAR = st.fixed_dictionaries(
    {},
    optional={
        "iat": _TIME | _ODD,
        "nbf": _TIME | st.just(NOW + 31) | _ODD,
        "exp": st.integers(NOW - 60, NOW + 60) | _ODD,
        "aud": st.sampled_from([AUDIENCE, [AUDIENCE, "x"], [AUDIENCE, 1], AUDIENCE[:-1]]) | _ODD,
        "iss": st.sampled_from([ISSUER, [ISSUER], ISSUER[:-1], ISSUER + "/"]) | _ODD,
        "sub": _ODD,
        "jti": _ODD,
        "sid": _ODD,
        "client_id": _ODD,
        "scope": _ODD,
        "act": _ODD,
    },
)


@settings(max_examples=250, deadline=None)
@given(_NEAR)
def test_what_we_accept_they_accept(changes: dict[str, Any]) -> None:
    key = KEYS["Ed25519"]
    members = {**claims(NOW - 5), **changes}
    text = seal(header_of(key, alg="EdDSA"), members, key.sign)
    try:
        read = verify(text)
    except TokenRejected:
        return
    assert read == members
    for their_read in READERS:
        assert their_read(text) == members


def by_hand(members: str, **header: Any) -> str:
    key = KEYS["Ed25519"]
    return seal(header_of(key, alg="EdDSA", **header), members, key.sign)


def written(**changes: Any) -> str:
    return json.dumps(claims(**changes))


STRICTER: dict[str, Callable[[], str]] = {
    "a float exp": lambda: by_hand(written(exp=NOW + 60.5)),
    "an exp of 400 digits": lambda: by_hand(written(exp=10**400)),
    "a life beyond the maximum": lambda: by_hand(written(exp=NOW + 86_401)),
    "no iat": lambda: by_hand(json.dumps({k: v for k, v in claims().items() if k != "iat"})),
    "no jti": lambda: by_hand(written(jti=None)),
    "no sub": lambda: by_hand(written(sub=None)),
    "a scope that is no string": lambda: by_hand(written(scope=["orders:read"])),
    "a name that stands twice": lambda: by_hand('{"sub":"admin",' + written()[1:]),
    "a lone surrogate": lambda: by_hand('{"x":"\\ud800",' + written()[1:]),
    "deep nesting": lambda: by_hand('{"x":' + "[" * 300 + "]" * 300 + "," + written()[1:]),
    "an integer of 20 digits": lambda: by_hand(written(x=10**20)),
    "another typ": lambda: by_hand(written(), typ="JWT"),
    "no typ": lambda: by_hand(written(), typ=None),
    "a jku that nobody asked for": lambda: by_hand(written(), jku="https://thief.example"),
    "a token of 9 KB": lambda: by_hand(written(filler="x" * 6500)),
}


@pytest.mark.parametrize("build", [pytest.param(one, id=name) for name, one in STRICTER.items()])
def test_what_they_accept_and_we_refuse(build: Callable[[], str]) -> None:
    text = build()
    with pytest.raises(TokenRejected):
        verify(text)
    assert any(accepts(their_read, text) for their_read in READERS)


def accepts(read: Callable[[str], dict[str, Any]], text: str) -> bool:
    try:
        read(text)
    except Exception:  # each of them has a family of errors of its own
        return False
    return True
