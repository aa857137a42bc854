"""Strict base64url without padding (RFC 7515 section 2, RFC 4648 sections 3.5 and 5)."""

from base64 import b64encode
from binascii import Error, a2b_base64

from tocsin_schemas.errors import EncodingRejected

_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_TO_URLSAFE = bytes.maketrans(b"+/", b"-_")
_PADDING = (b"", b"", b"==", b"=")


def encode(data: bytes) -> str:
    """Encode without padding."""
    return b64encode(data).translate(_TO_URLSAFE).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """Decode exactly what :func:`encode` writes.

    Encoding again and comparing is what refuses padding, white space, the standard alphabet and
    trailing bits, all in one check that cannot forget a case.

    Raises:
        EncodingRejected: ``base64url`` on any other text.
    """
    try:
        raw = text.encode("ascii")
        data = a2b_base64(raw.translate(_TO_STANDARD) + _PADDING[len(raw) & 3])
    except (UnicodeEncodeError, Error):
        raise EncodingRejected("base64url") from None
    if b64encode(data).translate(_TO_URLSAFE).rstrip(b"=") != raw:
        raise EncodingRejected("base64url")
    return data
