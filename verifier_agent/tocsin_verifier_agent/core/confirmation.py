"""Whether who presents a token holds the certificate that it is bound to (RFC 8705 section 3)."""

from enum import Enum
from typing import Final

from tocsin_schemas.confirmation import thumbprint
from tocsin_schemas.errors import TokenRejected


class _Unused(Enum):
    HERE = 0


NOT_USED: Final = _Unused.HERE
"""In place of a certificate: whoever shows the token asks about it or gives it back, and gets
nothing by it. Never for a token that opens something.
"""

PeerCertificate = bytes | str | None
"""Of the connection that a token came by: in DER, or its thumbprint; None where there was none, or
where nobody can see it.
"""
Certificate = PeerCertificate | _Unused


def check_certificate(bound_to: str, certificate: Certificate) -> None:
    """``bound_to`` is the thumbprint in the token.

    Raises:
        TokenRejected: ``certificate_missing`` or ``certificate_other``.
    """
    if certificate is NOT_USED:
        return
    if certificate is None:
        raise TokenRejected("certificate_missing")
    shown = certificate if isinstance(certificate, str) else thumbprint(certificate)
    if shown != bound_to:
        raise TokenRejected("certificate_other")
