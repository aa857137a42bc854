"""Rows: signatures of the wrong form, size, curve or digest."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec

from tests.verifier_agent.hostile.build import (
    P256_ORDER,
    Builder,
    der_signed,
    ed_malleable,
    ed_signed,
    es_signed,
    other_curve,
    pair,
    rsa_signed,
)

SIGNATURES: list[tuple[str, Builder]] = [
    # signatures
    ("ES256 r = 0", lambda: es_signed(lambda _r, s: pair(0, s))),
    ("ES256 s = 0", lambda: es_signed(lambda r, _s: pair(r, 0))),
    ("ES256 r = s = 0", lambda: es_signed(lambda _r, _s: pair(0, 0))),
    ("ES256 r = n", lambda: es_signed(lambda _r, s: pair(P256_ORDER, s))),
    ("ES256 s = n", lambda: es_signed(lambda r, _s: pair(r, P256_ORDER))),
    ("ES256 r = s = n", lambda: es_signed(lambda _r, _s: pair(P256_ORDER, P256_ORDER))),
    ("ES256 r and s swapped", lambda: es_signed(lambda r, s: pair(s, r))),
    ("ES256 all ones", lambda: es_signed(lambda _r, _s: b"\xff" * 64)),
    ("ES256 in DER", der_signed),
    ("ES256 of 63 bytes", lambda: es_signed(lambda r, s: pair(r, s)[:-1])),
    ("ES256 of 65 bytes", lambda: es_signed(lambda r, s: pair(r, s) + b"\0")),
    (
        "ES256 with a zero byte before s",
        lambda: es_signed(lambda r, s: r.to_bytes(32) + s.to_bytes(33)),
    ),
    ("ES256 of 96 bytes", lambda: es_signed(lambda r, s: r.to_bytes(48) + s.to_bytes(48))),
    ("ES256 with a leading zero byte", lambda: es_signed(lambda r, s: b"\0" + pair(r, s))),
    ("ES256 as hexadecimal", lambda: es_signed(lambda r, s: pair(r, s).hex().encode())),
    ("P-384 under ES256", lambda: other_curve(ec.SECP384R1(), "ES256", 48)),
    ("P-384 under ES384", lambda: other_curve(ec.SECP384R1(), "ES384", 48)),
    ("secp256k1 under ES256", lambda: other_curve(ec.SECP256K1(), "ES256", 32)),
    ("secp256k1 under ES256K", lambda: other_curve(ec.SECP256K1(), "ES256K", 32)),
    ("Ed25519 S + L", lambda: ed_signed(ed_malleable)),
    ("Ed25519 of zeros", lambda: ed_signed(lambda _: bytes(64))),
    ("Ed25519 identity and zero", lambda: ed_signed(lambda _: b"\x01" + bytes(63))),
    ("Ed25519 of 63 bytes", lambda: ed_signed(lambda text: text[:-1])),
    ("Ed25519 of 65 bytes", lambda: ed_signed(lambda text: text + b"\0")),
    ("RS256 of 255 bytes", lambda: rsa_signed(lambda text: text[1:])),
    ("RS256 with a leading zero byte", lambda: rsa_signed(lambda text: b"\0" + text)),
    ("RS256 with a trailing byte", lambda: rsa_signed(lambda text: text + b"\0")),
    ("RS256 of zeros", lambda: rsa_signed(lambda text: bytes(len(text)))),
    ("RS256 of one", lambda: rsa_signed(lambda text: (1).to_bytes(len(text)))),
    ("RS256 one bit off", lambda: rsa_signed(lambda text: text[:-1] + bytes([text[-1] ^ 1]))),
]
