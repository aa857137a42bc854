"""Public keys: import with every check at the door, so that verification needs none.

A key is bound to one algorithm when it is imported. RSA below 2048 bits, weak exponents, ROCA keys,
points off the curve, symmetric and private keys never get in (RFC 7517, 7518, 8037, 8725).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from math import gcd, prod
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from tocsin_schemas import base64url, strict_json
from tocsin_schemas.errors import EncodingRejected, KeyRejected

MAX_KID_LENGTH = 256
_RSA_BITS = range(2048, 8193)
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_P25519 = 2**255 - 19
_D25519 = -121665 * pow(121666, -1, _P25519) % _P25519
# The y of every point whose order is 1, 2, 4 or 8.
_SMALL_ORDER_25519 = frozenset(
    {
        0,
        1,
        _P25519 - 1,
        0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
    }
)
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
# CVE-2017-15361: moduli of the faulty generator lie in <65537> modulo each of these primes.
_ROCA_PRIMES = (3, 5, 7, 11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)

# DigestInfo of a SHA-256 digest, up to the digest itself (RFC 8017, section 9.2, note 1).
_SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")

_SMALL_PRIMES = prod(n for n in range(2, 752) if all(n % d for d in range(2, int(n**0.5) + 1)))

AnyPublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | Ed25519PublicKey


@dataclass(frozen=True, slots=True, eq=False)
class PublicKey:
    """A checked public key.

    ``verify(signature, data)`` raises ``cryptography.exceptions.InvalidSignature``. ``algs`` are
    the header names of its one algorithm (Ed25519 has two, RFC 8037 and RFC 9864).
    """

    kid: str
    algs: frozenset[str]
    verify: Callable[[bytes, bytes], None]
    jwk: Mapping[str, str]

    @property
    def alg(self) -> str:
        """The algorithm's name as written into headers that we sign."""
        return "Ed25519" if "Ed25519" in self.algs else next(iter(self.algs))


def _generated_by_65537(prime: int) -> frozenset[int]:
    return frozenset(pow(65537, exponent, prime) for exponent in range(prime))


_ROCA_RESIDUES = tuple((prime, _generated_by_65537(prime)) for prime in _ROCA_PRIMES)


@lru_cache(256)  # an issuer reads the same foreign keys again and again
def _is_prime(modulus: int) -> bool:
    """Fermat's test; 20 ms for 2048 bits, 1 s for 8192, and nothing else runs meanwhile."""
    return pow(2, modulus - 1, modulus) == 1


def _rsa_verifier(key: rsa.RSAPublicKey, vouched: bool) -> Callable[[bytes, bytes], None]:
    numbers = key.public_numbers()
    if key.key_size not in _RSA_BITS:
        raise KeyRejected("key_weak", "an RSA key must have 2048 to 8192 bits")
    if not (65537 <= numbers.e < 2**33 and numbers.e & 1):
        raise KeyRejected("key_weak", "an RSA exponent must be odd and at least 65537")
    if all(numbers.n % prime in residues for prime, residues in _ROCA_RESIDUES):
        raise KeyRejected("key_weak", "the RSA key comes from a faulty generator (CVE-2017-15361)")
    # Partial validation (NIST SP 800-56B, 6.4.2.2): under a modulus that is prime, or that a small
    # prime divides, anybody can sign.
    if gcd(numbers.n, _SMALL_PRIMES) != 1 or (not vouched and _is_prime(numbers.n)):
        raise KeyRejected("key_weak", "the RSA modulus is no product of two large primes")
    scheme, recover = padding.PKCS1v15(), key.recover_data_from_signature
    size = -(-key.key_size // 8)  # bytes

    def verify(signature: bytes, data: bytes) -> None:
        """As ``key.verify`` does it, for a twelfth less: RFC 8017, section 8.2.2.

        The library recovers what stands behind a padding that it has checked; where that is all of
        one DigestInfo, to the byte, and the signature is as long as the modulus, the whole encoded
        message is the expected one.
        """
        found = recover(signature, scheme, None)
        if found != _SHA256_INFO + sha256(data).digest() or len(signature) != size:
            raise InvalidSignature

    return verify


def _p256_verifier(key: ec.EllipticCurvePublicKey) -> Callable[[bytes, bytes], None]:
    if not isinstance(key.curve, ec.SECP256R1):
        raise KeyRejected("key_unsupported", "the only curve for ES256 is P-256")
    scheme, check = ec.ECDSA(Prehashed(SHA256())), key.verify

    def verify(signature: bytes, data: bytes) -> None:
        r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
        if len(signature) != 64 or not (0 < r < _P256_ORDER and 0 < s < _P256_ORDER):
            raise InvalidSignature
        check(encode_dss_signature(r, s), sha256(data).digest(), scheme)

    return verify


def _ed25519_verifier(key: Ed25519PublicKey) -> Callable[[bytes, bytes], None]:
    """The library looks at a point only when it verifies, and accepts points of small order, under
    which anybody can sign anything (RFC 8032 section 5.1.3; RFC 8725 section 3.4).
    """
    y = int.from_bytes(key.public_bytes(Encoding.Raw, PublicFormat.Raw), "little") & (2**255 - 1)
    square = (y * y - 1) * pow(_D25519 * y * y + 1, -1, _P25519) % _P25519
    on_curve = square == 0 or pow(square, (_P25519 - 1) // 2, _P25519) == 1
    if y >= _P25519 or not on_curve:
        raise KeyRejected("key_malformed", "the Ed25519 key is not a point on the curve")
    if y in _SMALL_ORDER_25519:
        raise KeyRejected("key_weak", "the Ed25519 key is a point of small order")
    return key.verify


def _unsigned(number: int, length: int = 0) -> str:
    return base64url.encode(number.to_bytes(length or (number.bit_length() + 7) // 8))


def to_jwk(key: AnyPublicKey) -> dict[str, str]:
    """The required members of the key's JWK, which are what RFC 7638 hashes."""
    if isinstance(key, rsa.RSAPublicKey):
        rsa_numbers = key.public_numbers()
        return {"kty": "RSA", "n": _unsigned(rsa_numbers.n), "e": _unsigned(rsa_numbers.e)}
    if isinstance(key, ec.EllipticCurvePublicKey):
        point = key.public_numbers()
        return {
            "kty": "EC",
            "crv": "P-256",
            "x": _unsigned(point.x, 32),
            "y": _unsigned(point.y, 32),
        }
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return {"kty": "OKP", "crv": "Ed25519", "x": base64url.encode(raw)}


def thumbprint(jwk: Mapping[str, str]) -> str:
    """RFC 7638, SHA-256, of a JWK that holds the required members only."""
    return base64url.encode(sha256(strict_json.dumps(dict(jwk))).digest())


def from_public_key(
    key: object, *, kid: str | None = None, alg: str | None = None, vouched: bool = False
) -> PublicKey:
    """Check a key and bind it to its algorithm.

    Raises:
        KeyRejected: ``key_weak``, ``key_unsupported`` or ``key_malformed``.
    """
    if isinstance(key, rsa.RSAPublicKey):
        verify, algs = _rsa_verifier(key, vouched), {"RS256"}
    elif isinstance(key, ec.EllipticCurvePublicKey):
        verify, algs = _p256_verifier(key), {"ES256"}
    elif isinstance(key, Ed25519PublicKey):
        verify, algs = _ed25519_verifier(key), {"Ed25519", "EdDSA"}
    else:
        raise KeyRejected("key_unsupported", "the key is not RSA, P-256 or Ed25519")
    if alg is not None:
        if alg not in algs:
            raise KeyRejected("key_unsupported", "the key's algorithm is not one of ours")
        algs = {alg}
    jwk = to_jwk(key)
    name = thumbprint(jwk) if kid is None else kid
    if not (0 < len(name) <= MAX_KID_LENGTH):
        raise KeyRejected("key_malformed", "the key's kid is empty or too long")
    return PublicKey(kid=name, algs=frozenset(algs), verify=verify, jwk=jwk)


def _number(jwk: Mapping[str, Any], name: str) -> int:
    raw = _octets(jwk, name)
    if raw[:1] == b"\0":
        raise KeyRejected("key_malformed", f"{name} has leading zeros")
    return int.from_bytes(raw)


def _octets(jwk: Mapping[str, Any], name: str, length: int | None = None) -> bytes:
    value = jwk.get(name)
    if not isinstance(value, str) or len(value) > 2048:
        raise KeyRejected("key_malformed", f"{name} is missing or not a string")
    raw = base64url.decode(value)
    if not raw or (length is not None and len(raw) != length):
        raise KeyRejected("key_malformed", f"{name} has the wrong length")
    return raw


def _load(jwk: Mapping[str, Any]) -> object:
    match jwk.get("kty"), jwk.get("crv"):
        case "RSA", None:
            return rsa.RSAPublicNumbers(_number(jwk, "e"), _number(jwk, "n")).public_key()
        case "EC", "P-256":
            x, y = _octets(jwk, "x", 32), _octets(jwk, "y", 32)
            return ec.EllipticCurvePublicNumbers(
                int.from_bytes(x), int.from_bytes(y), ec.SECP256R1()
            ).public_key()
        case "OKP", "Ed25519":
            return Ed25519PublicKey.from_public_bytes(_octets(jwk, "x", 32))
        case _:
            raise KeyRejected("key_unsupported", "the key is not RSA, P-256 or Ed25519")


def _optional_text(jwk: Mapping[str, Any], name: str) -> str | None:
    value = jwk.get(name)
    if value is not None and not isinstance(value, str):
        raise KeyRejected("key_malformed", f"{name} is not a string")
    return value


def from_jwk(jwk: object, *, vouched: bool = False) -> PublicKey:
    """Import one public JWK (RFC 7517 section 4). A missing kid becomes the thumbprint.

    ``vouched``: it comes in a signed statement, whose signer has looked whether an RSA modulus is
    prime; that alone is not looked at again, since it takes too long for who must not pause.

    Raises:
        KeyRejected: ``key_weak``, ``key_unsupported`` or ``key_malformed``.
    """
    if not isinstance(jwk, Mapping):
        raise KeyRejected("key_malformed", "the key is not an object")
    if _PRIVATE_MEMBERS & jwk.keys():
        raise KeyRejected("key_malformed", "the key holds private members")
    operations = jwk.get("key_ops", ["verify"])
    if _optional_text(jwk, "use") not in (None, "sig") or (
        not isinstance(operations, list) or "verify" not in operations
    ):
        raise KeyRejected("key_unsupported", "the key is not for signatures")
    kid, alg = _optional_text(jwk, "kid"), _optional_text(jwk, "alg")
    try:
        key = _load(jwk)
    except (ValueError, EncodingRejected):
        raise KeyRejected("key_malformed", "the key's numbers are not a public key") from None
    return from_public_key(key, kid=kid, alg=alg, vouched=vouched)


def from_pem(pem: bytes, *, kid: str | None = None) -> PublicKey:
    """Import a SubjectPublicKeyInfo PEM; its kid is the thumbprint unless another is given.

    Raises:
        KeyRejected: as :func:`from_jwk`.
    """
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise KeyRejected("key_malformed", "not a PEM public key") from None
    return from_public_key(key, kid=kid)


def to_pem(jwk: Mapping[str, Any]) -> str:
    """The SubjectPublicKeyInfo PEM of a checked key's JWK."""
    key = _load(jwk)
    if not isinstance(key, AnyPublicKey):
        raise KeyRejected("key_unsupported")
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


@dataclass(frozen=True, slots=True)
class JwkSet:
    """The good keys of a JWK Set by kid, and the codes of those that were left out."""

    keys: Mapping[str, PublicKey]
    skipped: tuple[str, ...]


def from_jwks(jwks: object) -> JwkSet:
    """Import a JWK Set (RFC 7517 section 5): a malformed key is left out, the rest is kept.

    Two keys with one kid are ambiguous, so neither is kept.

    Raises:
        KeyRejected: ``jwks_malformed`` where there is no ``keys`` array at all.
    """
    members = jwks.get("keys") if isinstance(jwks, Mapping) else None
    if not isinstance(members, list):
        raise KeyRejected("jwks_malformed", "a JWK Set has an array named keys")
    keys: dict[str, PublicKey] = {}
    skipped: list[str] = []
    ambiguous: set[str] = set()
    for member in members:
        try:
            key = from_jwk(member)
        except KeyRejected as rejected:
            skipped.append(rejected.code)
            continue
        if key.kid in keys:
            ambiguous.add(key.kid)
        keys[key.kid] = key
    for kid in ambiguous:
        del keys[kid]
        skipped.append("kid_ambiguous")
    return JwkSet(keys, tuple(skipped))
