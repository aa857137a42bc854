"""Strict base64url without padding (RFC 7515 section 2, RFC 4648 sections 3.5 and 5)."""

from base64 import b64encode
from binascii import Error, a2b_base64

from tocsin_schemas.errors import EncodingRejected

# `+`, `/` and `=` become `!`, which the strict decoder refuses.
TO_STANDARD = bytes.maketrans(b"-_+/=", b"+/!!!")
_TO_URLSAFE = bytes.maketrans(b"+/", b"-_")
_PADDING = (b"", b"", b"==", b"=")
# The last character of a text whose length is 2 or 3 modulo 4 carries 4 or 2 bits that mean nothing
# and must be zero, or one value would have several texts.
_LAST = ("", "", "AQgw", "AEIMQUYcgkosw048")


def encode(data: bytes) -> str:
    """Encode without padding."""
    return b64encode(data).translate(_TO_URLSAFE).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """Decode exactly what :func:`encode` writes.

    Padding, white space, the standard alphabet and trailing bits are refused.

    Raises:
        EncodingRejected: ``base64url`` on any other text.
    """
    try:
        rest = len(text) & 3
        if rest and text[-1] not in _LAST[rest]:
            raise EncodingRejected("base64url")
        standard = text.encode("ascii").translate(TO_STANDARD)
        return a2b_base64(standard + _PADDING[rest], strict_mode=True)
    except (UnicodeEncodeError, Error):
        raise EncodingRejected("base64url") from None
