"""Keys of the world. Real Ed25519 keys throughout; only the raw signature is replaced.

An Ed25519 signature and its check cost 200 µs, more than everything else that happens to a
message. No bytes recur from seed to seed, so remembering results gains nothing. In ``fast`` mode
the 64 bytes of a signature are therefore a keyed hash, and the one function that binds an imported
key to its check looks the hash's key up by the *real* public key. Import, thumbprints, headers,
kids, windows and every other check are the code's own; whoever lacks a key cannot sign for it.
Without ``fast`` the same keys sign for real, and a schedule takes the same course.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, lru_cache
from hashlib import blake2b, sha256
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tocsin_schemas import base64url, jwk, jws, keyset, record
from tocsin_schemas.jwk import PublicKey

_SECRETS: dict[bytes, bytes] = {}
_FAST = [False]


class SimSigner:
    """A ``Signer`` whose private key follows from its name."""

    alg = "Ed25519"

    def __init__(self, name: str) -> None:
        self.name = name
        self._secret = sha256(b"tocsin simulator " + name.encode()).digest()
        self._private = Ed25519PrivateKey.from_private_bytes(self._secret)
        public = self._private.public_key()
        self.public: PublicKey = jwk.from_public_key(public)
        self.kid = self.public.kid
        _SECRETS[public.public_bytes_raw()] = self._secret

    def sign(self, data: bytes) -> bytes:
        """64 bytes: a keyed hash in fast mode, else the signature."""
        if _FAST[0]:
            return blake2b(data, key=self._secret).digest()
        return self._private.sign(data)


def signing_fast() -> bool:
    """Whether signatures are keyed hashes now."""
    return _FAST[0]


@cache
def signer(name: str) -> SimSigner:
    """The one key of that name."""
    return SimSigner(name)


def _fast_verifier(key: Ed25519PublicKey) -> Callable[[bytes, bytes], None]:
    secret = _SECRETS.get(key.public_bytes_raw())
    if secret is None:  # a key of a directed schedule, which signs for real
        return key.verify

    def verify(signature: bytes, data: bytes) -> None:
        if blake2b(data, key=secret).digest() != signature:
            raise InvalidSignature

    return verify


@contextmanager
def fast_signatures() -> Iterator[None]:
    """Replace raw Ed25519 while the context lasts, and import each public key once."""
    real_verifier, real_import = jwk._ed25519_verifier, jwk.from_jwk
    real_header, real_record, real_keyset, real_decode = (
        jws.parse_header,
        record.parse_unverified,
        keyset.parse_unverified,
        base64url.decode,
    )
    known: dict[str, PublicKey] = {}

    def import_once(jwk: object, *, vouched: bool = False) -> PublicKey:
        text = _text_of(jwk)
        if text not in known:
            known[text] = real_import(jwk, vouched=vouched)
        return known[text]

    jwk._ed25519_verifier, jwk.from_jwk, _FAST[0] = _fast_verifier, import_once, True
    jws.parse_header = lru_cache(512)(real_header)
    record.parse_unverified = lru_cache(64)(real_record)
    keyset.parse_unverified = lru_cache(64)(real_keyset)
    base64url.decode = lru_cache(512)(real_decode)
    try:
        yield
    finally:
        jwk._ed25519_verifier, jwk.from_jwk, _FAST[0] = real_verifier, real_import, False
        jws.parse_header = real_header
        record.parse_unverified = real_record
        keyset.parse_unverified = real_keyset
        base64url.decode = real_decode


def _text_of(members: object) -> str:
    items: Mapping[str, Any] = members if isinstance(members, Mapping) else {}
    return repr(sorted(items.items()))
