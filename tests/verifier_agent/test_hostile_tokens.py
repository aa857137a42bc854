"""Tokens that somebody made to break a verifier, one row each (``hostile/``).

Every row must be refused with one and the same text, after bounded work, with no socket opened, and
must leave the verifier as it was. What each published advisory did is in ``test_advisories``.
"""

from __future__ import annotations

import socket
import time
import traceback
import tracemalloc
from collections.abc import Iterator

import pytest
from msgspec import UNSET

from tests.support.clock import NOW
from tests.support.forge import header_of, seal, seal_text, token
from tests.support.tokens import AUDIENCE, ISSUER, claims
from tests.verifier_agent.hostile.build import (
    EC,
    ED,
    JWKS,
    P256_ORDER,
    RSA,
    Builder,
    body,
    claim_text,
    ed_signed,
    es_signed,
    good,
    head,
    headed,
    header_with,
    nested_actors,
    pad_to,
    pair,
    payload_with,
    random_kid,
    rsa_signed,
)
from tests.verifier_agent.hostile.rows import ROWS
from tocsin_schemas.errors import TokenRejected
from tocsin_schemas.issuer_profile import RFC9068
from tocsin_verifier_agent import Verifier

UNIFORM = "the access token is not valid"


@pytest.fixture(scope="module")
def verifier() -> Verifier:
    return Verifier.from_jwks(JWKS, issuer=ISSUER, audience=AUDIENCE, clock=lambda: NOW)


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Any attempt to reach the network, or only to resolve a name, fails the test."""

    def refuse(*_args: object, **_options: object) -> None:
        raise AssertionError("a socket was opened")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    yield


def test_the_table_names_each_row_once() -> None:
    assert len({name for name, _ in ROWS}) == len(ROWS) > 250


def test_the_table_starts_from_tokens_that_are_good(verifier: Verifier) -> None:
    """Else a row might be refused for a mistake of the test's own."""
    for text in (
        good(),
        headed(x="harmless"),
        payload_with('"x":[[1.5]]'),
        header_with('"x":1'),
        claim_text("exp", str(NOW + 60)),
        token(EC, claims()),
        token(RSA, claims()),
        es_signed(pair),
        ed_signed(bytes),
        rsa_signed(bytes),
        seal_text(head(), body(), ED.sign),
        pad_to(8189),
        good(filler="\u00ff?>~"),
        nested_actors(4),
    ):
        verifier.verify(text)


@pytest.mark.usefixtures("no_sockets")
@pytest.mark.parametrize("build", [pytest.param(build, id=name) for name, build in ROWS])
def test_a_hostile_token_is_refused(verifier: Verifier, build: Builder) -> None:
    before = good()
    claims_before = dict(verifier.verify(before).claims)
    text = build()

    tracemalloc.start()
    started = time.process_time()
    try:
        with pytest.raises(TokenRejected) as caught:
            verifier.verify(text)
        seconds = time.process_time() - started
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert seconds < 0.25
    assert peak < 2_000_000
    assert str(caught.value) == UNIFORM
    _assert_silent(caught.value, text)
    assert dict(verifier.verify(before).claims) == claims_before
    verifier.verify(good())


@pytest.mark.parametrize("build", [pytest.param(build, id=name) for name, build in ROWS])
def test_seeing_a_hostile_token_again_changes_nothing(build: Builder) -> None:
    verifier = Verifier.from_jwks(JWKS, issuer=ISSUER, audience=AUDIENCE, clock=lambda: NOW)
    text = build()
    codes = []
    for _ in range(2):
        with pytest.raises(TokenRejected) as caught:
            verifier.verify(text)
        codes.append(caught.value.code)
    assert codes[0] == codes[1]
    assert len(verifier._verifier._cache) == 0


# What providers may write under these names means nothing to us, and scopes may be an array.
NOTHING_TO_A_PROFILE = ("act ", "orig ", "perms ")
FINE_BY_A_PROFILE = "scope an array"


@pytest.mark.usefixtures("no_sockets")
@pytest.mark.parametrize("build", [pytest.param(build, id=name) for name, build in ROWS])
def test_a_hostile_token_of_a_foreign_issuer(
    build: Builder, request: pytest.FixtureRequest
) -> None:
    """Its claims are read by a profile: another way through the code, as strict as the first."""
    foreign = Verifier.from_jwks(
        JWKS, issuer=ISSUER, audience=AUDIENCE, clock=lambda: NOW, profile=RFC9068
    )
    for key in (RSA, EC, ED):
        foreign.verify(token(key, claims()))
    name, text = request.node.callspec.id, build()
    if name.startswith(NOTHING_TO_A_PROFILE) or name == FINE_BY_A_PROFILE:
        verified = foreign.verify(text)
        assert verified.token.act is verified.token.orig is UNSET
        return
    with pytest.raises(TokenRejected) as caught:
        foreign.verify(text)
    assert str(caught.value) == UNIFORM
    _assert_silent(caught.value, text)


def _assert_silent(error: TokenRejected, text: object) -> None:
    """Nothing that a logger prints about the error holds a part of the token or of its claims."""
    said = "".join([repr(error), repr(error.args), repr(vars(error))])
    said += "".join(traceback.format_exception(error))
    needles = ["subject-17", "session-3", "orders:read"]
    if isinstance(text, str):
        needles += [part[:40] for part in [text, *text.split(".")] if len(part) > 20]
    for needle in needles:
        assert needle not in said


@pytest.mark.usefixtures("no_sockets")
def test_a_flood_of_random_kids_fills_nothing(verifier: Verifier) -> None:
    verifier.verify(good())
    inner = verifier._verifier
    held = len(inner._cache), len(inner._headers)
    texts = [random_kid(number) for number in range(300)]
    tracemalloc.start()
    for text in texts:
        with pytest.raises(TokenRejected):
            verifier.verify(text)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (len(inner._cache), len(inner._headers)) == held
    assert grown < 100_000


def test_headers_are_remembered_only_after_a_good_signature_and_only_so_many() -> None:
    verifier = Verifier.from_jwks(JWKS, issuer=ISSUER, audience=AUDIENCE, clock=lambda: NOW)
    inner = verifier._verifier
    for number in range(20):
        with pytest.raises(TokenRejected):
            verifier.verify(seal(header_of(ED, x=number), claims(), EC.sign))
    assert not inner._headers
    for number in range(400):
        verifier.verify(headed(x=number))
    assert len(inner._headers) <= 256


def test_typ_may_be_written_in_full() -> None:
    """RFC 7515 section 4.1.9: `application/` may be left out, and case does not count."""
    verifier = Verifier.from_jwks(JWKS, issuer=ISSUER, audience=AUDIENCE, clock=lambda: NOW)
    for typ in ("at+jwt", "application/at+jwt", "AT+JWT", "Application/at+JWT"):
        verifier.verify(headed(typ=typ))


def test_an_array_that_contains_our_audience_is_fine(verifier: Verifier) -> None:
    verifier.verify(good(aud=["https://billing.example", AUDIENCE]))
    verifier.verify(good(aud=[AUDIENCE, AUDIENCE]))


def test_times_are_good_up_to_the_leeway(verifier: Verifier) -> None:
    verifier.verify(good(iat=NOW - 629, exp=NOW - 29))
    verifier.verify(good(iat=NOW + 5, nbf=NOW + 30))
    verifier.verify(good(exp=NOW + 86_400))
    verifier.verify(good(nbf=None))


def test_a_rewritten_ecdsa_signature_is_the_same_token(verifier: Verifier) -> None:
    """s and n − s both verify: a token's text is no identity, its jti is."""
    text = es_signed(lambda r, s: pair(r, P256_ORDER - s))
    assert verifier.verify(text).claims["sub"] == "subject-17"
