"""The certificate that a token is bound to (RFC 8705 section 3.1)."""

from hashlib import sha256
from typing import Final, TypedDict

from tocsin_schemas import base64url

X5T_S256: Final = "x5t#S256"

ConfirmationClaim = TypedDict("ConfirmationClaim", {"x5t#S256": str})
"""The ``cnf`` claim (RFC 7800 section 3.1) as far as it is known here."""


def thumbprint(certificate: bytes) -> str:
    """The SHA-256 of a certificate in DER, in base64url."""
    return base64url.encode(sha256(certificate).digest())
