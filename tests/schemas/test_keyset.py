"""The keyset: what the roots may sign, and the signatures themselves."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import to_builtins

from tests.support.clock import NOW
from tests.support.forge import b64
from tests.support.keys import signer
from tests.support.ledger import (
    LEDGER_KEY,
    ROOT,
    TOKEN_KEY,
    key_entry,
    make_keyset,
    root_set,
    signed_keyset,
)
from tocsin_schemas import keyset as keysets
from tocsin_schemas import signed_document, strict_json
from tocsin_schemas.errors import DocumentRejected
from tocsin_schemas.keyset import MAX_KEYSET_LIFE_S, Keyset, Policy, RootSet
from tocsin_schemas.signed_document import DetachedSignature, SignedDocument

ROOTS = [signer("Ed25519", f"root-{number}") for number in range(3)]


def document(members: dict[str, Any] | bytes) -> SignedDocument:
    data = members if isinstance(members, bytes) else strict_json.dumps(members)
    return SignedDocument(b64(data), ())


def members(**changes: Any) -> dict[str, Any]:
    plain: dict[str, Any] = to_builtins(make_keyset())
    return {**plain, **changes}


def with_key(**changes: Any) -> dict[str, Any]:
    entry: dict[str, Any] = {**to_builtins(key_entry(TOKEN_KEY, "token")), **changes}
    return members(keys=[to_builtins(key_entry(LEDGER_KEY, "ledger")), entry])


def test_round_trip() -> None:
    assert keysets.parse_unverified(signed_keyset(3)) == make_keyset(3)


_WINDOW = st.lists(st.integers(0, 2**40), min_size=4, max_size=4)


@given(_WINDOW)
def test_windows_must_be_in_order(times: list[int]) -> None:
    names = ("publish_at", "sign_from", "sign_until", "verify_until")
    text = document(with_key(**dict(zip(names, times, strict=True))))
    if times == sorted(times):
        keysets.parse_unverified(text)
    else:
        with pytest.raises(DocumentRejected, match="document_malformed"):
            keysets.parse_unverified(text)


@given(st.integers(NOW - 200, NOW + MAX_KEYSET_LIFE_S + 200))
def test_a_keyset_lives_for_90_days_at_most(expires_at: int) -> None:
    text = document(members(issued_at=NOW, expires_at=expires_at))
    if NOW < expires_at <= NOW + MAX_KEYSET_LIFE_S:
        keysets.parse_unverified(text)
    else:
        with pytest.raises(DocumentRejected):
            keysets.parse_unverified(text)


MALFORMED: dict[str, Any] = {
    "no JSON": b"{",
    "an array": b"[]",
    "a name twice": b'{"iss":"a",' + strict_json.dumps(members())[1:],
    "nested 300 deep": b'{"x":' + b"[" * 300 + b"]" * 300 + b"}",
    "an unknown member": members(admin=True),
    "an unknown member of a key": with_key(trusted=True),
    "an unknown member of the policy": members(policy={"lease_ms": 1000, "on_stale": "accept"}),
    "an unknown member of the roots": members(roots={**to_builtins(root_set()), "x": 1}),
    "a member missing": {k: v for k, v in members().items() if k != "policy"},
    "no keys": members(keys=[]),
    "one kid twice": members(keys=[to_builtins(key_entry(TOKEN_KEY, "token"))] * 2),
    "one kid for both uses": members(
        keys=[to_builtins(key_entry(TOKEN_KEY, use)) for use in ("token", "ledger")]
    ),
    "a use that nobody knows": with_key(use="root"),
    "an algorithm that nobody knows": with_key(alg="HS256"),
    "a kid with a newline": with_key(kid=TOKEN_KEY.kid + "\n"),
    "a kid too short": with_key(kid=TOKEN_KEY.kid[:-1]),
    "a kid with a slash": with_key(kid="/" * 43),
    "version zero": members(version=0),
    "version a float": members(version=1.0),
    "version a string": members(version="1"),
    "version true": members(version=True),
    "version 2^53 + 1": members(version=2**53 + 1),
    "a negative time": with_key(publish_at=-1),
    "a time beyond 2^40": with_key(verify_until=2**40 + 1),
    "a lease of zero": members(policy={"lease_ms": 0}),
    "a lease of two hours": members(policy={"lease_ms": 7_200_000}),
    "a rho of zero": members(policy={"rho_ppm": 0}),
    "a rho of a half": members(policy={"rho_ppm": 500_000}),
    "a life of a year": members(policy={"max_token_life_s": 31_536_000}),
    "a heartbeat of zero": members(policy={"heartbeat_ms": 0}),
    "no roots": members(roots={"version": 1, "threshold": 1, "keys": []}),
    "a threshold of zero": members(roots={**to_builtins(root_set()), "threshold": 0}),
    "iss empty": members(iss=""),
    "iss an array": members(iss=["https://issuer.example"]),
    "issued after it expires": members(issued_at=NOW, expires_at=NOW),
}


@pytest.mark.parametrize("bad", [pytest.param(bad, id=name) for name, bad in MALFORMED.items()])
def test_a_malformed_keyset_is_refused(bad: Any) -> None:
    with pytest.raises(DocumentRejected, match="document_malformed"):
        keysets.parse_unverified(document(bad))


def test_a_payload_that_is_not_base64url_is_refused() -> None:
    for text in ("e30=", "", "é", "A"):
        with pytest.raises(DocumentRejected):
            keysets.parse_unverified(SignedDocument(text, ()))


# --- keys -----------------------------------------------------------------------------------------


def keyset_of(**changes: Any) -> Keyset:
    return make_keyset(keys=(key_entry(TOKEN_KEY, "token", **changes),))


def test_keys_come_out_by_use() -> None:
    found = make_keyset()
    assert LEDGER_KEY.kid in found.public_keys("ledger")
    assert LEDGER_KEY.kid not in found.public_keys("token")
    assert TOKEN_KEY.kid not in found.public_keys("ledger")


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"kid": ROOT.kid}, id="a kid that is another key's"),
        pytest.param({"kid": "A" * 43}, id="a kid that is nobody's"),
        pytest.param({"alg": "RS256"}, id="an algorithm that is another key's"),
        pytest.param({"jwk": {"kty": "OKP", "crv": "Ed25519"}}, id="half a key"),
        pytest.param({"jwk": {"kty": "oct", "k": "AAAA"}}, id="a secret"),
        pytest.param({"jwk": {**TOKEN_KEY.public.jwk, "d": "AAAA"}}, id="a private key"),
        pytest.param({"jwk": {**TOKEN_KEY.public.jwk, "use": "enc"}}, id="for encryption"),
    ],
)
def test_a_key_that_is_not_what_its_entry_says_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(DocumentRejected, match="key_malformed"):
        keyset_of(**changes).public_keys("token")


def test_a_ledger_key_has_signatures_that_nobody_can_rewrite() -> None:
    """s and n − s are both good in ECDSA: a record would have two texts, so two hashes: a fork."""
    key = signer("ES256", "token")
    assert make_keyset(keys=(key_entry(key, "token"),)).public_keys("token")
    with pytest.raises(DocumentRejected, match="key_malformed"):
        make_keyset(keys=(key_entry(key, "ledger"),)).public_keys("ledger")
    for alg in ("RS256", "Ed25519"):
        good = signer(alg, "token")
        assert make_keyset(keys=(key_entry(good, "ledger"),)).public_keys("ledger")


def test_a_name_inside_the_jwk_does_not_matter() -> None:
    """The kid is the thumbprint, whatever the JWK calls itself."""
    found = keyset_of(jwk={**TOKEN_KEY.public.jwk, "kid": "mallory"}).public_keys("token")
    assert found[TOKEN_KEY.kid].kid == TOKEN_KEY.kid


# --- roots ----------------------------------------------------------------------------------------


@given(st.integers(1, 5), st.integers(1, 3))
def test_a_threshold_must_be_reachable(threshold: int, count: int) -> None:
    roots = root_set(ROOTS[:count], threshold)
    if threshold <= count:
        assert len(roots.public_keys()) == count
    else:
        with pytest.raises(DocumentRejected, match="root_malformed"):
            roots.public_keys()


def test_one_root_twice_does_not_count_twice() -> None:
    twins = (dict(ROOT.public.jwk), {**ROOT.public.jwk, "kid": "another-name"})
    for keys in (twins, twins[:1] * 2):
        with pytest.raises(DocumentRejected, match="root_malformed"):
            RootSet(version=1, threshold=2, keys=keys).public_keys()
        with pytest.raises(DocumentRejected, match="root_malformed"):
            RootSet(version=1, threshold=1, keys=keys).public_keys()


def test_a_bad_root_key_spoils_the_set() -> None:
    keys = (dict(ROOT.public.jwk), {"kty": "oct"})
    with pytest.raises(DocumentRejected, match="root_malformed"):
        RootSet(version=1, threshold=1, keys=keys).public_keys()


# --- signatures -----------------------------------------------------------------------------------

PUBLIC = {root.kid: root.public for root in ROOTS}
TYP = keysets.KEYSET_TYP


def who_signed(text: SignedDocument) -> frozenset[str]:
    return signed_document.signers_of(text, PUBLIC, TYP)


@given(st.lists(st.sampled_from([*ROOTS, ROOT]), max_size=6))
@settings(max_examples=40, deadline=None)
def test_each_root_counts_once_and_strangers_never(by: list[Any]) -> None:
    signed = keysets.sign(make_keyset(), by)
    assert who_signed(signed) == {one.kid for one in by} - {ROOT.kid}


def test_a_signature_over_another_payload_does_not_count() -> None:
    one, two = (keysets.sign(make_keyset(version), [*ROOTS]) for version in (1, 2))
    assert who_signed(SignedDocument(two.payload, one.signatures)) == frozenset()


def test_a_signature_of_another_type_does_not_count() -> None:
    for typ in ("tocsin-term+jwt", "at+jwt", "JWT", "tocsin-keyset"):
        assert who_signed(signed_document.sign({"a": 1}, ROOTS, typ)) == frozenset()


def test_a_bad_signature_does_not_spoil_a_good_one() -> None:
    good = keysets.sign(make_keyset(), [*ROOTS[:1]])
    junk = [
        DetachedSignature("", ""),
        DetachedSignature("é", "é"),
        DetachedSignature("A" * 5000, "A"),
        DetachedSignature(good.signatures[0].protected, "AAAA"),
        DetachedSignature("e30", good.signatures[0].signature),
    ]
    for signatures in ([*junk, *good.signatures], [*good.signatures, *junk]):
        assert who_signed(SignedDocument(good.payload, tuple(signatures))) == {ROOTS[0].kid}


def test_too_many_signatures_are_refused_before_any_is_checked() -> None:
    good = keysets.sign(make_keyset(), [*ROOTS[:1]])
    flood = SignedDocument(good.payload, good.signatures * 33)
    with pytest.raises(DocumentRejected, match="document_malformed"):
        who_signed(flood)
    assert who_signed(SignedDocument(good.payload, good.signatures * 32)) == {ROOTS[0].kid}


# --- the bound ------------------------------------------------------------------------------------


@given(st.integers(500, 3_600_000), st.integers(1, 100_000))
def test_b_is_the_lease_over_one_minus_rho_rounded_up(lease_ms: int, rho_ppm: int) -> None:
    bound = Policy(lease_ms=lease_ms, rho_ppm=rho_ppm).bound_ms
    assert bound * (1_000_000 - rho_ppm) >= lease_ms * 1_000_000
    assert (bound - 1) * (1_000_000 - rho_ppm) < lease_ms * 1_000_000
