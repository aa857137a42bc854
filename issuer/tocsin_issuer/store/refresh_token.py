"""The refresh token: ``sid.generation.secret``, of which Redis keeps digests alone.

The secret is a part of the whole family, 16 bytes, and a part of this generation, 32 bytes. The sid
stands in every access token, so services know it; without the family's part they cannot pass for a
holder of an old refresh token and have the session killed.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from os import urandom
from typing import Final, Self

from tocsin_schemas import base64url
from tocsin_schemas.errors import RequestRejected

_FAMILY_BYTES: Final = 16
_SECRET_BYTES: Final = 32
_TEXT: Final = re.compile(r"([A-Za-z0-9_-]{22})\.(0|[1-9][0-9]{0,8})\.([A-Za-z0-9_-]{64})")

MAX_LENGTH: Final = 22 + 1 + 9 + 1 + 64


def new_sid(entropy: Callable[[int], bytes] = urandom) -> str:
    """A session id of 128 random bits."""
    return base64url.encode(entropy(16))


@dataclass(frozen=True, slots=True, repr=False)
class RefreshToken:
    """One generation of a family. It has no repr: what is not printed cannot leak."""

    sid: str
    generation: int
    family: bytes
    secret: bytes

    @classmethod
    def first(cls, sid: str, entropy: Callable[[int], bytes] = urandom) -> Self:
        """The first one of a new family."""
        return cls(sid, 0, entropy(_FAMILY_BYTES), entropy(_SECRET_BYTES))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one.

        Raises:
            RequestRejected: ``invalid_grant``.
        """
        match = _TEXT.fullmatch(text) if len(text) <= MAX_LENGTH else None
        if match is None:
            raise invalid_grant()
        secret = base64url.decode(match[3])
        return cls(match[1], int(match[2]), secret[:_FAMILY_BYTES], secret[_FAMILY_BYTES:])

    def next(self, entropy: Callable[[int], bytes] = urandom) -> Self:
        """The one that replaces this."""
        return type(self)(self.sid, self.generation + 1, self.family, entropy(_SECRET_BYTES))

    @property
    def text(self) -> str:
        """What the client is given: a secret."""
        secret = base64url.encode(self.family + self.secret)
        return f"{self.sid}.{self.generation}.{secret}"

    @property
    def family_digest(self) -> str:
        """What is stored of the family's part."""
        return sha256(self.family).hexdigest()

    @property
    def secret_digest(self) -> str:
        """What is stored of this generation's part."""
        return sha256(self.secret).hexdigest()


def invalid_grant() -> RequestRejected:
    """The one answer to every refresh token that is not good (RFC 6749 section 5.2)."""
    return RequestRejected("invalid_grant", "the refresh token is not valid")
