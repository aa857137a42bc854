"""Keys that must never get in, and keys that must: the checks are at the door, once."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.forge import b64
from tests.support.keys import private_pem, public_jwk, signer
from tests.support.tokens import AUDIENCE, ISSUER
from tests.support.weak_keys import P25519, ed25519_jwk, roca_modulus, rsa_jwk, small_order_y
from tocsin_schemas import jwk
from tocsin_schemas.errors import KeyRejected
from tocsin_verifier_agent import Verifier

RSA, EC, ED = (signer(alg, "token") for alg in ("RS256", "ES256", "Ed25519"))
MODULUS = int.from_bytes(base64.urlsafe_b64decode(RSA.public.jwk["n"] + "=="))
EC_X, EC_Y = EC.public.jwk["x"], EC.public.jwk["y"]


def ec_jwk(**changes: Any) -> dict[str, Any]:
    return {**EC.public.jwk, **changes}


def rsa_with(**changes: Any) -> dict[str, Any]:
    return {**RSA.public.jwk, **changes}


def ed_with(**changes: Any) -> dict[str, Any]:
    return {**ED.public.jwk, **changes}


def flipped(text: str) -> str:
    raw = bytearray(base64.urlsafe_b64decode(text + "="))
    raw[-1] ^= 1
    return b64(bytes(raw))


BAD_KEYS: dict[str, tuple[Any, str]] = {
    # RSA
    "RSA of 512 bits": (rsa_jwk(2**511 + 187), "key_weak"),
    "RSA of 1024 bits": (rsa_jwk(2**1023 + 1155), "key_weak"),
    "RSA of 2047 bits": (rsa_jwk(2**2046 + 1), "key_weak"),
    "RSA of 8200 bits": (rsa_jwk(2**8199 + 1), "key_weak"),
    "RSA of 16,384 bits": (rsa_jwk(2**16383 + 1), "key_malformed"),
    "RSA, ROCA": (rsa_jwk(roca_modulus()), "key_weak"),
    "RSA, ROCA, 3072 bits": (rsa_jwk(roca_modulus(3072)), "key_weak"),
    "RSA, an even modulus": (rsa_jwk(MODULUS - 1), "key_weak"),
    "RSA, a modulus that 3 divides": (rsa_jwk(3 * (2**2046 + 1)), "key_weak"),
    "RSA, a modulus that is prime": (rsa_jwk(2**2203 - 1), "key_weak"),
    "RSA e = 1": (rsa_jwk(MODULUS, 1), "key_malformed"),
    "RSA e = 3": (rsa_jwk(MODULUS, 3), "key_weak"),
    "RSA e = 17": (rsa_jwk(MODULUS, 17), "key_weak"),
    "RSA e = 65535": (rsa_jwk(MODULUS, 65535), "key_weak"),
    "RSA e even": (rsa_jwk(MODULUS, 65538), "key_malformed"),
    "RSA e of 2000 bits": (rsa_jwk(MODULUS, 2**2000 + 1), "key_weak"),
    "RSA e = 0": (rsa_with(e="AA"), "key_malformed"),
    "RSA e empty": (rsa_with(e=""), "key_malformed"),
    "RSA e missing": ({"kty": "RSA", "n": RSA.public.jwk["n"]}, "key_malformed"),
    "RSA n missing": ({"kty": "RSA", "e": "AQAB"}, "key_malformed"),
    "RSA n with a leading zero": (rsa_with(n=b64(b"\0" + MODULUS.to_bytes(256))), "key_malformed"),
    "RSA n a number": (rsa_with(n=MODULUS), "key_malformed"),
    "RSA n in padded base64": (rsa_with(n=RSA.public.jwk["n"] + "=="), "key_malformed"),
    "RSA n no ASCII": (rsa_with(n="\u00e9"), "key_malformed"),
    "RSA with a curve": (rsa_with(crv="P-256"), "key_unsupported"),
    "RSA with d": (rsa_with(d="AQAB"), "key_malformed"),
    "RSA for RS512": (rsa_with(alg="RS512"), "key_unsupported"),
    "RSA for PS256": (rsa_with(alg="PS256"), "key_unsupported"),
    "RSA for HS256": (rsa_with(alg="HS256"), "key_unsupported"),
    "RSA for none": (rsa_with(alg="none"), "key_unsupported"),
    "RSA for encryption": (rsa_with(use="enc"), "key_unsupported"),
    "RSA for signing only": (rsa_with(key_ops=["sign"]), "key_unsupported"),
    "RSA key_ops a string": (rsa_with(key_ops="verify"), "key_unsupported"),
    # EC
    "EC off the curve": (ec_jwk(y=flipped(EC_Y)), "key_malformed"),
    "EC x and y swapped": (ec_jwk(x=EC_Y, y=EC_X), "key_malformed"),
    "EC zero": (ec_jwk(x=b64(bytes(32)), y=b64(bytes(32))), "key_malformed"),
    "EC x beyond the field": (ec_jwk(x=b64(b"\xff" * 32)), "key_malformed"),
    "EC P-384": (ec_jwk(crv="P-384"), "key_unsupported"),
    "EC secp256k1": (ec_jwk(crv="secp256k1"), "key_unsupported"),
    "EC curve in lower case": (ec_jwk(crv="p-256"), "key_unsupported"),
    "EC x of 31 bytes": (ec_jwk(x=b64(bytes(31))), "key_malformed"),
    "EC x of 33 bytes": (
        ec_jwk(x=b64(b"\0" + base64.urlsafe_b64decode(EC_X + "="))),
        "key_malformed",
    ),
    "EC without y": ({"kty": "EC", "crv": "P-256", "x": EC_X}, "key_malformed"),
    "EC with d": (ec_jwk(d=EC_X), "key_malformed"),
    "EC for RS256": (ec_jwk(alg="RS256"), "key_unsupported"),
    # Ed25519
    "Ed25519 of 31 bytes": (ed_with(x=b64(bytes(31))), "key_malformed"),
    "Ed25519 of 33 bytes": (ed_with(x=b64(bytes(33))), "key_malformed"),
    "Ed25519 off the curve": (ed25519_jwk(2), "key_malformed"),
    "Ed25519 not canonical": (ed25519_jwk(P25519 + 3), "key_malformed"),
    "Ed25519 identity, not canonical": (ed25519_jwk(P25519 + 1), "key_malformed"),
    "Ed25519 with d": (ed_with(d=ED.public.jwk["x"]), "key_malformed"),
    "Ed448": (ed_with(crv="Ed448"), "key_unsupported"),
    "X25519": (ed_with(crv="X25519"), "key_unsupported"),
    "Ed25519 for ES256": (ed_with(alg="ES256"), "key_unsupported"),
    # symmetric and other kinds
    "HMAC": ({"kty": "oct", "k": b64(bytes(32)), "alg": "HS256"}, "key_malformed"),
    "HMAC without its secret": ({"kty": "oct"}, "key_unsupported"),
    "RSA and an HMAC secret": (rsa_with(k=b64(bytes(32))), "key_malformed"),
    "kty missing": ({"n": RSA.public.jwk["n"], "e": "AQAB"}, "key_unsupported"),
    "kty an array": (rsa_with(kty=["RSA"]), "key_unsupported"),
    "kty in lower case": (rsa_with(kty="rsa"), "key_unsupported"),
    "kty null": (rsa_with(kty=None), "key_unsupported"),
    "no object": ("RSA", "key_malformed"),
    "an array": ([RSA.public.jwk], "key_malformed"),
    "null": (None, "key_malformed"),
    # names
    "kid a number": (rsa_with(kid=1), "key_malformed"),
    "kid empty": (rsa_with(kid=""), "key_malformed"),
    "kid of 257 characters": (rsa_with(kid="k" * 257), "key_malformed"),
    "alg a list": (rsa_with(alg=["RS256"]), "key_malformed"),
    "use a list": (rsa_with(use=["sig"]), "key_malformed"),
}
BAD_KEYS.update(
    {
        f"Ed25519 of small order, y = {y:x}, sign {sign}"[:60]: (ed25519_jwk(y, sign), "key_weak")
        for y in small_order_y()
        for sign in (0, 1)
    }
)
ROWS = [pytest.param(key, code, id=name) for name, (key, code) in BAD_KEYS.items()]


@pytest.mark.parametrize(("key", "code"), ROWS)
def test_a_bad_key_is_refused(key: Any, code: str) -> None:
    with pytest.raises(KeyRejected) as caught:
        jwk.from_jwk(key)
    assert caught.value.code == code


@pytest.mark.parametrize(("key", "code"), ROWS)
def test_a_set_with_one_bad_key_keeps_the_rest(key: Any, code: str) -> None:
    for members in ([key, public_jwk(EC)], [public_jwk(EC), key]):
        found = jwk.from_jwks({"keys": members})
        assert set(found.keys) == {EC.kid}
        assert found.skipped == (code,)
        Verifier.from_jwks({"keys": members}, issuer=ISSUER, audience=AUDIENCE)


@pytest.mark.parametrize(("key", "code"), ROWS)
def test_a_set_of_bad_keys_alone_makes_no_verifier(key: Any, code: str) -> None:
    """Else a verifier with no key at all would start, and look healthy."""
    with pytest.raises(KeyRejected):
        Verifier.from_jwks({"keys": [key]}, issuer=ISSUER, audience=AUDIENCE)


def test_points_of_small_order_would_let_anybody_sign() -> None:
    """What the check is for: the library itself takes the key and the signature."""
    identity = (1).to_bytes(32, "little")
    key = ed25519.Ed25519PublicKey.from_public_bytes(identity)
    key.verify(identity + bytes(32), b"anything at all")


@given(st.binary(min_size=32, max_size=32))
@settings(max_examples=60)
def test_an_ed25519_key_that_gets_in_is_a_point(raw: bytes) -> None:
    """About half of all texts are points; each that is let in has a square under its x."""
    try:
        jwk.from_jwk({"kty": "OKP", "crv": "Ed25519", "x": b64(raw)})
    except KeyRejected as rejected:
        assert rejected.code in {"key_malformed", "key_weak"}
        return
    y = int.from_bytes(raw, "little") & (2**255 - 1)
    d = -121665 * pow(121666, -1, P25519)
    square = (y * y - 1) * pow(d * y * y + 1, -1, P25519) % P25519
    assert y < P25519
    assert pow(square, (P25519 - 1) // 2, P25519) in (0, 1)


@pytest.mark.parametrize("alg", ["RS256", "ES256", "Ed25519"])
def test_good_keys_get_in(alg: str) -> None:
    for number in range(12 if alg != "RS256" else 1):
        key = signer(alg, f"good-{number}" if alg != "RS256" else "token")
        found = jwk.from_jwk(public_jwk(key))
        assert found.kid == key.kid
        found.verify(key.sign(b"data"), b"data")
        with pytest.raises(InvalidSignature):
            found.verify(key.sign(b"data"), b"other")


def test_a_key_is_bound_to_one_algorithm() -> None:
    assert jwk.from_jwk(rsa_with()).algs == {"RS256"}
    assert jwk.from_jwk(ec_jwk()).algs == {"ES256"}
    assert jwk.from_jwk(ed_with()).algs == {"Ed25519", "EdDSA"}  # RFC 8037 and RFC 9864
    assert jwk.from_jwk(ed_with(alg="EdDSA")).algs == {"EdDSA"}


# --- sets -----------------------------------------------------------------------------------------


def test_two_keys_with_one_kid_are_ambiguous_so_neither_is_kept() -> None:
    twins = [public_jwk(EC, kid="twin"), public_jwk(ED, kid="twin"), public_jwk(RSA)]
    for members in (twins, twins[::-1], [*twins, twins[0]]):
        found = jwk.from_jwks({"keys": members})
        assert set(found.keys) == {RSA.kid}
        assert "kid_ambiguous" in found.skipped


@pytest.mark.parametrize(
    "jwks", [None, [], {}, "x", {"keys": None}, {"keys": {}}, {"keys": "x"}, {"Keys": []}]
)
def test_what_is_no_set_is_refused(jwks: Any) -> None:
    with pytest.raises(KeyRejected, match="JWK Set"):
        jwk.from_jwks(jwks)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"keys":[]}',
        '{"keys":[{}]}',
        '{"keys":[],"keys":[]}',
        '{"keys":' + "[" * 300 + "]" * 300 + "}",
        '{"keys":' + "[" * 50_000,
        "-----BEGIN PUBLIC KEY-----",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        b"\xff\xfe",
    ],
)
def test_text_that_holds_no_key_makes_no_verifier(text: str | bytes) -> None:
    with pytest.raises(KeyRejected):
        Verifier.from_jwks(text, issuer=ISSUER, audience=AUDIENCE)


# --- PEM ------------------------------------------------------------------------------------------


def pem_of(der: bytes) -> bytes:
    text = base64.encodebytes(der)
    return b"-----BEGIN PUBLIC KEY-----\n" + text + b"-----END PUBLIC KEY-----\n"


def public_pem(key: Any) -> bytes:
    data: bytes = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return data


def ec_der() -> bytes:
    key = EC.private_key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


P256_OID = bytes.fromhex("2a8648ce3d030107")
EC_OID = bytes.fromhex("2a8648ce3d0201")

BAD_PEMS: dict[str, bytes] = {
    "empty": b"",
    "no PEM": b"key",
    "nothing inside": pem_of(b""),
    "a curve that nobody knows": pem_of(ec_der().replace(P256_OID, P256_OID[:-1] + b"\x63")),
    "an algorithm that nobody knows": pem_of(ec_der().replace(EC_OID, EC_OID[:-1] + b"\x63")),
    "a point off the curve": pem_of(ec_der()[:-1] + bytes([ec_der()[-1] ^ 1])),
    "P-384": public_pem(ec.generate_private_key(ec.SECP384R1()).public_key()),
    "secp256k1": public_pem(ec.generate_private_key(ec.SECP256K1()).public_key()),
    "Brainpool": public_pem(ec.generate_private_key(ec.BrainpoolP256R1()).public_key()),
    "Ed448": public_pem(ed448.Ed448PrivateKey.generate().public_key()),
    "X25519": public_pem(x25519.X25519PrivateKey.generate().public_key()),
    "DSA": public_pem(
        dsa.DSAPublicNumbers(4, dsa.DSAParameterNumbers(2**2047 + 1, 2**255 + 1, 2)).public_key()
    ),
    "Ed25519 of small order": public_pem(
        ed25519.Ed25519PublicKey.from_public_bytes((1).to_bytes(32, "little"))
    ),
}


@pytest.mark.parametrize("pem", [pytest.param(pem, id=name) for name, pem in BAD_PEMS.items()])
def test_a_bad_pem_is_refused(pem: bytes) -> None:
    with pytest.raises(KeyRejected):
        jwk.from_pem(pem)


def test_a_private_pem_is_refused() -> None:
    with pytest.raises(KeyRejected):
        jwk.from_pem(private_pem(EC))


@pytest.mark.parametrize("alg", ["RS256", "ES256", "Ed25519"])
def test_a_good_pem_gets_in_under_its_thumbprint(alg: str) -> None:
    key = signer(alg, "token")
    pem = public_pem(key.private_key.public_key())
    assert jwk.from_pem(pem).kid == key.kid
    assert jwk.from_pem(pem.replace(b"\n", b"\r\n")).kid == key.kid
    assert jwk.from_pem(pem, kid="mine").kid == "mine"


def test_who_vouches_for_a_key_has_looked_whether_its_modulus_is_prime() -> None:
    """That takes up to a second, and a replica reads keys while others verify."""
    prime = rsa_jwk(2**2203 - 1)
    assert jwk.from_jwk(prime, vouched=True).algs == {"RS256"}
    for weak in (rsa_jwk(MODULUS - 1), rsa_jwk(3 * (2**2046 + 1)), rsa_jwk(roca_modulus())):
        with pytest.raises(KeyRejected):
            jwk.from_jwk(weak, vouched=True)
