"""Texts given in place of a JWK Set: one kind of error, after bounded work.

Which single keys are refused is in ``tests/schemas/test_key_import.py``.
"""

from __future__ import annotations

import json
import time

import pytest

from tests.support.clock import NOW
from tests.support.forge import token
from tests.support.tokens import AUDIENCE, ISSUER, claims
from tests.verifier_agent.hostile.build import ED, JWKS, RSA, hs, nest, pem
from tocsin_schemas.errors import KeyRejected, TokenRejected
from tocsin_verifier_agent import Verifier

GOOD = json.dumps(JWKS)
TEXTS: dict[str, str | bytes] = {
    "nested 20,000 deep": f'{{"x":{nest(20_000)},{GOOD[1:]}',
    "objects nested 20,000 deep": '{"a":' * 20_000 + "1" + "}" * 20_000,
    "opened 100,000 times": '{"keys":' + "[" * 100_000,
    "an integer of 5,000 digits": f'{{"x":{"9" * 5000},{GOOD[1:]}',
    "an integer of a million digits": f'{{"x":{"9" * 1_000_000},{GOOD[1:]}',
    "keys twice": f'{{"keys":[],{GOOD[1:]}',
    "a kid twice in a key": GOOD.replace('"kid"', '"kid":"x","kid"'),
    "NaN": f'{{"x":NaN,{GOOD[1:]}',
    "UTF-16": GOOD.encode("utf-16"),
    "a BOM": b"\xef\xbb\xbf" + GOOD.encode(),
    "a BOM before a PEM": b"\xef\xbb\xbf" + pem(),
    "a lone surrogate": f'{{"x":"\\ud800",{GOOD[1:]}',
    "two documents": GOOD + GOOD,
    "a PEM in JSON": json.dumps({"keys": [pem().decode()]}),
    "a JWK and no set": json.dumps(JWKS["keys"][0]),
    "100,000 keys that are none": json.dumps({"keys": [{}] * 100_000}),
}


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in TEXTS.items()])
def test_a_bad_text_makes_no_verifier(text: str | bytes) -> None:
    started = time.process_time()
    with pytest.raises(KeyRejected):
        Verifier.from_jwks(text, issuer=ISSUER, audience=AUDIENCE, clock=lambda: NOW)
    assert time.process_time() - started < 2


def test_a_good_text_makes_one_that_takes_no_secret() -> None:
    """The same text as an HMAC secret signs nothing; the key of a PEM is found by thumbprint."""
    for text, key in ((GOOD, ED), (pem(), RSA), (b"\n" + pem(), RSA)):
        verifier = Verifier.from_jwks(text, issuer=ISSUER, audience=AUDIENCE, clock=lambda: NOW)
        verifier.verify(token(key, claims()))
        with pytest.raises(TokenRejected):
            verifier.verify(hs(text.encode() if isinstance(text, str) else text, kid=key.kid))
