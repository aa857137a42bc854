"""Public keys that must never get in."""

from __future__ import annotations

from functools import cache
from math import prod

from tests.support.forge import b64

# The small primes modulo which the faulty generator of CVE-2017-15361 leaves its mark.
_PRIMES = [p for p in range(2, 700) if all(p % q for q in range(2, int(p**0.5) + 1))]
P25519 = 2**255 - 19


def rsa_jwk(modulus: int, exponent: int = 65537) -> dict[str, str]:
    def octets(number: int) -> bytes:
        return number.to_bytes((number.bit_length() + 7) // 8)

    return {"kty": "RSA", "n": b64(octets(modulus)), "e": b64(octets(exponent))}


@cache
def roca_modulus(bits: int = 2048) -> int:
    """A modulus as the faulty generator made them: a power of 65537 modulo a primorial."""
    primorial = prod(_PRIMES[:126])
    residue = pow(65537, 12345, primorial)
    return residue + ((1 << bits) - primorial) // primorial * primorial


def ed25519_jwk(y: int, sign: int = 0) -> dict[str, str]:
    return {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": b64((y | sign << 255).to_bytes(32, "little")),
    }


@cache
def small_order_y() -> frozenset[int]:
    """The y of every Ed25519 point of small order, worked out from the curve alone."""
    p, order = P25519, 2**252 + 27742317777372353535851937790883648493
    d = -121665 * pow(121666, -1, p) % p

    def x_of(y: int) -> int | None:
        square = (y * y - 1) * pow(d * y * y + 1, -1, p) % p
        root = pow(square, (p + 3) // 8, p)
        if (root * root - square) % p:
            root = root * pow(2, (p - 1) // 4, p) % p
        return None if (root * root - square) % p else root

    def add(one: tuple[int, int], two: tuple[int, int]) -> tuple[int, int]:
        (x1, y1), (x2, y2) = one, two
        t = d * x1 * x2 * y1 * y2 % p
        x = (x1 * y2 + x2 * y1) * pow(1 + t, -1, p) % p
        return x, (y1 * y2 + x1 * x2) * pow(1 - t, -1, p) % p

    def times(factor: int, point: tuple[int, int]) -> tuple[int, int]:
        total = (0, 1)
        while factor:
            if factor & 1:
                total = add(total, point)
            point, factor = add(point, point), factor >> 1
        return total

    found: set[int] = set()
    candidate = 2
    while len(found) < 5:
        x = x_of(candidate)
        if x is not None:
            torsion = times(order, (x, candidate))
            point = torsion
            for _ in range(8):
                found.add(point[1])
                point = add(point, torsion)
        candidate += 1
    return frozenset(found)
