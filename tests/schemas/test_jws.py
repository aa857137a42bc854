"""The strict compact JWS against the RFCs' own examples, and its refusals."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.forge import b64, header_of, octets, seal
from tests.support.keys import signer
from tocsin_schemas import base64url, jwk, jws
from tocsin_schemas.errors import JwsRejected
from tocsin_schemas.jws import Header

# RFC 7638 section 3.1
RFC7638_KEY = {
    "kty": "RSA",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_B"
    "JECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368"
    "QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2"
    "NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    "e": "AQAB",
    "alg": "RS256",
    "kid": "2011-04-29",
}
RFC7638_THUMBPRINT = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"

RFC7515_PAYLOAD = (
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
)
# alg, key, header segment, payload segment, signature segment
VECTORS = {
    "RFC 7515 A.2": (
        "RS256",
        {
            "kty": "RSA",
            "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2"
            "mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSH"
            "SXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5"
            "IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
            "e": "AQAB",
        },
        "eyJhbGciOiJSUzI1NiJ9",
        RFC7515_PAYLOAD,
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5juj"
        "Gbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe"
        "7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8"
        "np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    ),
    "RFC 7515 A.3": (
        "ES256",
        {
            "kty": "EC",
            "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        },
        "eyJhbGciOiJFUzI1NiJ9",
        RFC7515_PAYLOAD,
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    ),
    "RFC 8037 A.4": (
        "EdDSA",
        {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
        "eyJhbGciOiJFZERTQSJ9",
        "RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    ),
}
RFC_ROWS = [pytest.param(*vector, id=name) for name, vector in VECTORS.items()]


def test_rfc_7638_thumbprint() -> None:
    key = jwk.from_jwk(RFC7638_KEY)
    assert jwk.thumbprint(key.jwk) == RFC7638_THUMBPRINT
    without_kid = {name: value for name, value in RFC7638_KEY.items() if name != "kid"}
    assert jwk.from_jwk(without_kid).kid == RFC7638_THUMBPRINT


def test_rfc_8037_thumbprint() -> None:
    """Appendix A.3."""
    key = jwk.from_jwk(VECTORS["RFC 8037 A.4"][1])
    assert key.kid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize(("alg", "key", "head", "body", "signature"), RFC_ROWS)
def test_the_rfcs_examples_have_good_signatures(
    alg: str, key: dict[str, str], head: str, body: str, signature: str
) -> None:
    """Their headers have no kid, so the signature is checked under one that is given by hand."""
    public = jwk.from_jwk(key)
    header = Header(public.kid, alg, None, {"alg": alg})
    jws.check_signature(f"{head}.{body}", signature, header, public)
    with pytest.raises(JwsRejected, match="signature"):
        jws.check_signature(f"{head}.{body[:-4]}AAAA", signature, header, public)
    with pytest.raises(JwsRejected, match="alg"):
        other = Header(public.kid, "HS256", None, {"alg": "HS256"})
        jws.check_signature(f"{head}.{body}", signature, other, public)


@pytest.mark.parametrize(("alg", "key", "head", "body", "signature"), RFC_ROWS)
def test_the_rfcs_examples_lack_a_kid_and_are_refused_whole(
    alg: str, key: dict[str, str], head: str, body: str, signature: str
) -> None:
    public = jwk.from_jwk(key)
    with pytest.raises(JwsRejected) as caught:
        jws.verify_compact(f"{head}.{body}.{signature}", {public.kid: public})
    assert caught.value.code == "kid"


@pytest.mark.parametrize("alg", ["RS256", "ES256", "Ed25519"])
@given(payload=st.binary(max_size=100))
@settings(max_examples=15, deadline=None)
def test_what_we_sign_we_verify(alg: str, payload: bytes) -> None:
    key = signer(alg, "token")
    text = seal(header_of(key, typ="x+jwt"), payload, key.sign)
    if not payload:
        with pytest.raises(JwsRejected, match="segments"):
            jws.verify_compact(text, {key.kid: key.public})
        return
    verified = jws.verify_compact(text, {key.kid: key.public}, typ="x+jwt")
    assert verified.payload == payload
    assert verified.header["kid"] == key.kid


@given(st.dictionaries(st.text(max_size=5), st.integers(0, 9) | st.text(max_size=5), max_size=4))
@settings(max_examples=30, deadline=None)
def test_sign_compact_writes_what_verify_compact_reads(members: dict[str, Any]) -> None:
    key = signer("Ed25519", "token")
    text = jws.sign_compact(members, key, "x+jwt")
    assert jws.parse_header(text.split(".")[0]).typ == "x+jwt"
    payload = jws.verify_compact(text, {key.kid: key.public}, typ="x+jwt").payload
    assert payload == octets(payload)


@pytest.mark.parametrize("alg", ["RS256", "ES256", "Ed25519"])
def test_any_change_of_any_character_is_refused(alg: str) -> None:
    """But for the one that ECDSA allows, which no single character makes."""
    key = signer(alg, "token")
    text = seal(header_of(key), b'{"sub":"a"}', key.sign)
    keys = {key.kid: key.public}
    assert jws.verify_compact(text, keys).payload == b'{"sub":"a"}'
    for place in range(len(text)):
        for other in "A.-é":
            changed = text[:place] + other + text[place + 1 :]
            if changed != text:
                with pytest.raises(JwsRejected):
                    jws.verify_compact(changed, keys)


@given(st.text(max_size=60) | st.text(alphabet="eyJhbGciOiJ.-_=", max_size=60))
@settings(max_examples=200)
def test_any_text_at_all_gives_one_kind_of_error(text: str) -> None:
    key = signer("Ed25519", "token")
    with pytest.raises(JwsRejected):
        jws.verify_compact(text, {key.kid: key.public})


@given(st.binary(max_size=80))
@settings(max_examples=200)
def test_any_header_bytes_at_all_give_one_kind_of_error_or_a_header(data: bytes) -> None:
    try:
        header = jws.parse_header(base64url.encode(data))
    except JwsRejected:
        return
    assert header.kid
    assert header.alg


def test_the_longest_text_is_counted_in_characters() -> None:
    key = signer("Ed25519", "token")
    text = seal(header_of(key), b"x" * 100, key.sign)
    keys = {key.kid: key.public}
    jws.verify_compact(text, keys, max_length=len(text))
    with pytest.raises(JwsRejected, match="size"):
        jws.verify_compact(text, keys, max_length=len(text) - 1)


def test_a_key_is_used_under_its_own_kid_alone() -> None:
    one, two = signer("Ed25519", "token"), signer("Ed25519", "other")
    text = seal(header_of(one, kid=two.kid), b"{}", one.sign)
    with pytest.raises(JwsRejected, match="signature"):
        jws.verify_compact(text, {one.kid: one.public, two.kid: two.public})


def test_a_type_is_compared_in_normal_form() -> None:
    key = signer("Ed25519", "token")
    keys = {key.kid: key.public}
    text = seal(header_of(key, typ="application/AT+jwt"), b"{}", key.sign)
    assert jws.verify_compact(text, keys, typ="at+jwt").payload == b"{}"
    for typ in ("jwt", "at", "secevent+jwt", ""):
        with pytest.raises(JwsRejected, match="typ"):
            jws.verify_compact(text, keys, typ=typ)


def test_a_bad_payload_under_a_good_signature_is_refused() -> None:
    """A payload that is not canonical base64url could be read two ways."""
    key = signer("Ed25519", "token")
    head = b64(octets(header_of(key)))
    for body in ("e30=", "e31", "e 30", "e30\n", "+/+/", "A"):
        signed = f"{head}.{body}"
        text = f"{signed}.{b64(key.sign(signed.encode()))}"
        with pytest.raises(JwsRejected, match="payload"):
            jws.verify_compact(text, {key.kid: key.public})
