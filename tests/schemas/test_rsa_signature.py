"""RSASSA-PKCS1-v1_5: what the library's own verification refuses, ours refuses (RFC 8017, 8.2.2).

Each row is an encoded message put under the private key itself, so that nothing but the encoding is
wrong with it.
"""

from __future__ import annotations

from hashlib import sha1, sha256, sha512
from typing import Final

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin_schemas import jwk

DATA: Final = b"header.payload"
KEY: Final = rsa.generate_private_key(65537, 2048)
SIZE: Final = 256
VERIFY: Final = jwk.from_public_key(KEY.public_key()).verify
NUMBERS: Final = KEY.private_numbers()
MODULUS: Final = NUMBERS.public_numbers.n

SHA256_INFO: Final = bytes.fromhex("3031300d060960864801650304020105000420")
SHA512_INFO: Final = bytes.fromhex("3051300d060960864801650304020305000440")
SHA1_INFO: Final = bytes.fromhex("3021300906052b0e03021a05000414")
WITHOUT_NULL: Final = bytes.fromhex("302f300b0609608648016503040201") + b"\x04\x20"
LONG_LENGTHS: Final = bytes.fromhex("308131300d060960864801650304020105000420")
DIGEST: Final = sha256(DATA).digest()


def padded(info: bytes, *, lead: bytes = b"\0\1", fill: bytes = b"\xff") -> bytes:
    return lead + fill * (SIZE - len(lead) - 1 - len(info)) + b"\0" + info


GOOD: Final = padded(SHA256_INFO + DIGEST)

WRONG: Final[dict[str, bytes]] = {
    "another digest": padded(SHA256_INFO + sha256(b"other").digest()),
    "a digest cut short": padded(SHA256_INFO + DIGEST[:-1]),
    "a byte more": padded(SHA256_INFO + DIGEST + b"\0"),
    "no DigestInfo": padded(DIGEST),
    "no algorithm parameters": padded(WITHOUT_NULL + DIGEST),
    "lengths in BER": padded(LONG_LENGTHS + DIGEST),
    "SHA-1": padded(SHA1_INFO + sha1(DATA, usedforsecurity=False).digest()),
    "SHA-512": padded(SHA512_INFO + sha512(DATA).digest()),
    "the name of SHA-512": padded(SHA512_INFO + DIGEST),
    "short padding, and garbage behind": (
        b"\0\1" + b"\xff" * 8 + b"\0" + SHA256_INFO + DIGEST
    ).ljust(SIZE, b"A"),
    "short padding, and garbage before": (
        b"\0\1" + b"\xff" * 8 + b"\0" + b"A" * (SIZE - 11 - 51) + SHA256_INFO + DIGEST
    ),
    "padding that is not 0xff": padded(SHA256_INFO + DIGEST, fill=b"\xfe"),
    "one byte of padding that is not 0xff": GOOD[:100] + b"\xfe" + GOOD[101:],
    "block type 0": padded(SHA256_INFO + DIGEST, lead=b"\0\0"),
    "block type 2": padded(SHA256_INFO + DIGEST, lead=b"\0\2"),
    "no padding": (b"\0\1\0" + SHA256_INFO + DIGEST).rjust(SIZE, b"\0"),
    "an empty message": padded(b""),
    "zeros": bytes(SIZE),
    "all padding": b"\0\1" + b"\xff" * (SIZE - 2),
}


def under_the_key(message: bytes) -> bytes:
    return pow(int.from_bytes(message), NUMBERS.d, MODULUS).to_bytes(SIZE)


def library_verifies(signature: bytes, data: bytes = DATA) -> bool:
    try:
        KEY.public_key().verify(signature, data, padding.PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True


def we_verify(signature: bytes, data: bytes = DATA) -> bool:
    try:
        VERIFY(signature, data)
    except InvalidSignature:
        return False
    return True


def test_the_right_encoding_passes() -> None:
    signature = under_the_key(GOOD)
    assert signature == KEY.sign(DATA, padding.PKCS1v15(), SHA256())
    assert we_verify(signature)
    assert not we_verify(signature, DATA + b"x")


@pytest.mark.parametrize("name", WRONG)
def test_any_other_encoding_is_refused(name: str) -> None:
    signature = under_the_key(WRONG[name])
    assert not library_verifies(signature)
    assert not we_verify(signature)


def _short() -> tuple[bytes, bytes]:
    """Data whose signature begins with a zero byte."""
    for number in range(100_000):
        data = b"%d" % number
        signature = KEY.sign(data, padding.PKCS1v15(), SHA256())
        if signature[0] == 0:
            return data, signature
    raise AssertionError("none of 100,000 signatures begins with a zero")


def test_one_signature_has_one_text() -> None:
    data, signature = _short()
    assert we_verify(signature, data)
    again = int.from_bytes(signature) + MODULUS
    forms = [signature[1:], b"\0" + signature, signature + b"\0", b"", again.to_bytes(SIZE + 1)]
    if again < 1 << (8 * SIZE):
        forms.append(again.to_bytes(SIZE))
    for form in forms:
        assert not library_verifies(form, data)
        assert not we_verify(form, data)


def key_of(*primes_from: int) -> rsa.RSAPrivateKey:
    """The library makes moduli of whole bytes alone; two keys' primes make others too."""
    p, q = (rsa.generate_private_key(65537, bits).private_numbers().p for bits in primes_from)
    d = pow(65537, -1, (p - 1) * (q - 1))
    return rsa.RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), rsa.RSAPublicNumbers(65537, p * q)
    ).private_key()


@pytest.mark.parametrize("primes_from", [(2048, 2056), (2048, 2064), (2056, 2056), (3072, 3072)])
def test_moduli_of_any_length(primes_from: tuple[int, int]) -> None:
    key = key_of(*primes_from)
    verify = jwk.from_public_key(key.public_key()).verify
    signature = key.sign(DATA, padding.PKCS1v15(), SHA256())
    verify(signature, DATA)
    with pytest.raises(InvalidSignature):
        verify(signature, b"other")
    with pytest.raises(InvalidSignature):
        verify(signature[:-1], DATA)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_ours_and_the_librarys_agree(data: st.DataObject) -> None:
    message = bytearray(GOOD)
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, SIZE - 1))
        message[place] = data.draw(st.integers(0, 255))
    if int.from_bytes(message) < MODULUS:
        signature = under_the_key(bytes(message))
        assert we_verify(signature) == library_verifies(signature) == (bytes(message) == GOOD)
