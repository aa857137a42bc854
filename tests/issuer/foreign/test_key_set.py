"""Which keys of a JWK Set get into the ledger, and in which form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.issuer.foreign.dialects import LIBRARIES
from tests.support.keys import private_pem, public_jwk, signer
from tests.support.ledger import LEDGER_KEY, ROOT, STANDBY_KEY, TOKEN_KEY, make_keyset
from tests.support.weak_keys import rsa_jwk
from tocsin_issuer.foreign.key_set import (
    MAX_KEYS,
    MAX_LISTED,
    ImportRejected,
    as_imported,
    our_thumbprints,
    read_key_set,
)
from tocsin_schemas import jwk, strict_json

OURS = our_thumbprints(make_keyset())
GOOD = public_jwk(signer("ES256", "foreign"))


def body(*keys: Any) -> bytes:
    return strict_json.dumps({"keys": list(keys)})


def kids(*keys: Any) -> list[str]:
    return [key.kid for key in read_key_set(body(*keys), OURS).keys]


def refused(text: bytes) -> str:
    with pytest.raises(ImportRejected) as caught:
        read_key_set(text, OURS)
    return caught.value.code


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_two_libraries_export(library: str) -> None:
    exported = LIBRARIES[library]("their kid", 1).jwk()
    (key,) = read_key_set(body(exported), OURS).keys
    assert key.kid == "their kid"
    # What RFC 7638 hashes, and alg: no x5t, no use, nothing that a provider may write there.
    assert key.jwk == {name: exported[name] for name in ("kty", "n", "e")} | {"alg": "RS256"}


def test_private_symmetric_and_malformed_keys_are_dropped_and_the_rest_kept() -> None:
    private = json.loads(json.dumps(public_jwk(signer("ES256", "leaked")))) | {"d": "AAAA"}
    read = read_key_set(
        body(
            private,
            {"kty": "oct", "kid": "hmac", "k": "c2VjcmV0"},
            {**GOOD, "kid": "enc", "use": "enc"},
            {"kty": "RSA", "kid": "half", "e": "AQAB"},
            17,
            GOOD,
        ),
        OURS,
    )
    assert [key.kid for key in read.keys] == [GOOD["kid"]]
    assert len(read.skipped) == 5
    assert private_pem(signer("ES256", "leaked")) not in repr(read).encode()


def test_a_key_without_alg_signs_under_both_names_of_its_algorithm() -> None:
    plain = public_jwk(signer("Ed25519", "foreign"))
    assert "alg" not in read_key_set(body(plain), OURS).keys[0].jwk
    named = read_key_set(body({**plain, "alg": "EdDSA"}), OURS).keys[0]
    assert named.jwk["alg"] == "EdDSA"


def test_the_order_in_which_a_provider_lists_its_keys_does_not_count() -> None:
    keys = [public_jwk(signer("ES256", f"foreign {n}")) for n in range(4)]
    assert read_key_set(body(*keys), OURS) == read_key_set(body(*reversed(keys)), OURS)
    read = read_key_set(body(*keys), OURS).keys
    again = {key.kid: jwk.from_jwk({**key.jwk, "kid": key.kid}) for key in read}
    assert as_imported(again) == read  # what the ledger holds compares equal to what is fetched


@pytest.mark.parametrize("ours", [TOKEN_KEY, STANDBY_KEY, LEDGER_KEY, ROOT])
def test_our_own_keys_and_their_names_are_refused(ours: Any) -> None:
    read = read_key_set(body({**ours.public.jwk, "kid": "a name of theirs"}, GOOD), OURS)
    assert ([key.kid for key in read.keys], read.skipped) == ([GOOD["kid"]], ("key_is_ours",))
    assert kids({**GOOD, "kid": ours.kid}, public_jwk(signer("ES256", "other"))) == [
        signer("ES256", "other").kid
    ]
    assert refused(body({**GOOD, "kid": ours.kid})) == "no_usable_key"


def test_a_kid_that_stands_twice_is_nobodys() -> None:
    other = public_jwk(signer("ES256", "other"))
    assert kids(GOOD, {**GOOD, "kid": other["kid"]}, other) == [GOOD["kid"]]


def test_what_is_no_set_changes_nothing() -> None:
    for text in (b"", b"<html>", b"[]", b'{"keys":[],"keys":[]}', b"\xff\xfe{}", b"[" * 10_000):
        assert refused(text) == "json"
    for text in (b"{}", b'{"keys":{}}', b'{"keys":null}'):
        assert refused(text) == "jwks_malformed"
    assert refused(body()) == "no_usable_key"
    assert refused(body({"kty": "oct", "k": "AAAA"})) == "no_usable_key"


def test_there_is_an_end_to_how_many() -> None:
    # One key under many names: the numbers are what costs, and they are checked each time.
    many = [{**GOOD, "kid": f"k{n}"} for n in range(MAX_KEYS + 1)]
    assert len(kids(*many[1:])) == MAX_KEYS
    assert refused(body(*many)) == "too_many_keys"
    assert refused(body(*[1] * (MAX_LISTED + 1))) == "too_many_keys"


def test_a_modulus_that_would_take_long_to_check_is_left_out_unread() -> None:
    """One of 8192 bits keeps everything in the process waiting for a second."""
    huge = rsa_jwk((1 << 8191) | 0b1011)
    body = strict_json.dumps({"keys": [{**signer("RS256", "token").public.jwk}, *[huge] * 50]})
    found = read_key_set(body, ())
    assert len(found.keys) == 1
    assert found.skipped.count("key_large") == 50
