"""What each of the three says about a token, at one fixed moment."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import cache
from typing import Any

import joserfc.jwt
import jwt
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry
from joserfc.registry import HeaderParameter

from tests.support.clock import NOW
from tests.support.keys import public_jwk, signer
from tests.support.tokens import AUDIENCE, ISSUER
from tests.verifier_agent.fuzz.draft import ALGS
from tocsin_schemas import jwk
from tocsin_schemas.errors import TokenRejected
from tocsin_verifier_agent import Verifier

# Ours are fixed: 30 s for exp and nbf, 5 s for iat. Theirs have one for all three.
LEEWAY_S = 30
NOT_READ = ("cty", "x5t", "x5t#S256")  # header parameters that decide nothing here
JOSERFC_ALGS = ["RS256", "ES256", "EdDSA", "Ed25519"]


@dataclass(frozen=True)
class Verdict:
    """``claims`` where the token was accepted, else ``why`` it was not."""

    claims: dict[str, Any] | None
    why: str = ""
    seconds: float = 0.0

    @property
    def text(self) -> str:
        """The claims in a form that tells 1 from 1.0 and from true."""
        return json.dumps(self.claims, sort_keys=True)


@cache
def jwks() -> dict[str, list[dict[str, str]]]:
    return {"keys": [public_jwk(signer(alg, "token")) for alg in ALGS]}


def new_verifier() -> Verifier:
    return Verifier.from_jwks(jwks(), issuer=ISSUER, audience=AUDIENCE, clock=lambda: NOW)


@cache
def our_keys() -> dict[str, jwk.PublicKey]:
    return dict(jwk.from_jwks(jwks()).keys)


def ours(verifier: Verifier, text: str) -> Verdict:
    """Any other error than TokenRejected is the caller's to see: a finding."""
    began = time.thread_time()
    try:
        claims = dict(verifier.verify(text).claims)
    except TokenRejected as rejected:
        return Verdict(None, rejected.code, time.thread_time() - began)
    return Verdict(claims, seconds=time.thread_time() - began)


class _PyJWT(jwt.PyJWT):
    """PyJWT takes the machine's time; its own checks are run at ours."""

    def _validate_iat(self, payload: dict[str, Any], now: float, leeway: float) -> None:
        super()._validate_iat(payload, NOW, leeway)

    def _validate_nbf(self, payload: dict[str, Any], now: float, leeway: float) -> None:
        super()._validate_nbf(payload, NOW, leeway)

    def _validate_exp(self, payload: dict[str, Any], now: float, leeway: float) -> None:
        super()._validate_exp(payload, NOW, leeway)


_PYJWT = _PyJWT()


@cache
def _pyjwt_keys() -> dict[str | None, jwt.PyJWK]:
    return {key.key_id: key for key in jwt.PyJWKSet.from_dict({**jwks()}).keys}


def pyjwt(text: str) -> Verdict:
    """As its documentation has it: the key by kid, the key's algorithm, audience and issuer."""
    try:
        key = _pyjwt_keys()[jwt.get_unverified_header(text)["kid"]]
        claims = _PYJWT.decode(
            text,
            key,
            algorithms=[key.algorithm_name],
            audience=AUDIENCE,
            issuer=ISSUER,
            leeway=LEEWAY_S,
        )
    except Exception as error:  # it has a family of errors of its own, and leaks others
        return Verdict(None, type(error).__name__)
    return Verdict(claims)


@cache
def _joserfc_keys() -> KeySet:
    keys: Any = {"keys": [dict(key) for key in jwks()["keys"]]}
    return KeySet.import_key_set(keys)


@cache
def _joserfc_claims() -> joserfc.jwt.JWTClaimsRegistry:
    return joserfc.jwt.JWTClaimsRegistry(
        now=NOW,
        leeway=LEEWAY_S,
        iss={"essential": True, "value": ISSUER},
        aud={"essential": True, "value": AUDIENCE},
    )


class _Lenient(JWSRegistry):
    """Headers as RFC 7515 section 4 has them: of any length, unknown parameters ignored."""

    max_header_length = 4096

    def __init__(self) -> None:
        anything = HeaderParameter("anything", lambda value: None)
        super().__init__(dict.fromkeys(NOT_READ, anything), JOSERFC_ALGS, strict_check_header=False)


def joserfc_reads(text: str, registry: JWSRegistry | None = None) -> Verdict:
    """With its claims registry, and its own limits unless told otherwise."""
    try:
        read = joserfc.jwt.decode(text, _joserfc_keys(), JOSERFC_ALGS, registry).claims
        _joserfc_claims().validate(read)
    except Exception as error:  # it has a family of errors of its own, and leaks others
        return Verdict(None, type(error).__name__)
    return Verdict(read)


def joserfc_leniently(text: str) -> Verdict:
    """Without its own limits on headers; all else as before."""
    return joserfc_reads(text, _Lenient())
