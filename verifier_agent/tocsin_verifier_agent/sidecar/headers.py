"""Claims as response headers, for a proxy that copies them onto the request to the backend.

Every name is in every 200, with an empty value where there is no claim: a proxy that copies them
overwrites whatever a client has sent under that name.

A value is percent-encoded UTF-8 as in RFC 8187 section 3.2.1, where ``:``, ``/`` and ``@`` stand
for themselves too: no claim can hold a line end, a space, a comma, or anything that is not ASCII.
Permissions are separated by one space, and an encoded one has none.
"""

from collections.abc import Iterator
from typing import Final
from urllib.parse import quote, unquote

from tocsin_verifier_agent.core.verified import Verified

SUBJECT: Final = "X-Tocsin-Subject"
CLIENT: Final = "X-Tocsin-Client"
SESSION: Final = "X-Tocsin-Session"
PERMISSIONS: Final = "X-Tocsin-Permissions"
ISSUER: Final = "X-Tocsin-Issuer"
TOKEN_ID: Final = "X-Tocsin-Token-Id"  # noqa: S105 (no password)
VALID_UNTIL: Final = "X-Tocsin-Valid-Until"
UNPROVEN: Final = "X-Tocsin-Unproven"
WOULD_DENY: Final = "X-Tocsin-Would-Deny"

NAMES: Final = (
    SUBJECT,
    CLIENT,
    SESSION,
    PERMISSIONS,
    ISSUER,
    TOKEN_ID,
    VALID_UNTIL,
    UNPROVEN,
    WOULD_DENY,
)
_RAW: Final = tuple(name.lower().encode() for name in NAMES)
_LITERAL: Final = "!#$&+-.^_`|~:/@"


def of(verified: Verified) -> Iterator[tuple[bytes, bytes]]:
    """All headers of one verdict, as ASGI wants them; times are seconds of UTC, rounded down."""
    token = verified.token
    values = (
        encode(token.sub),
        encode(verified.client_id or ""),
        encode(verified.session_id or ""),
        " ".join(map(encode, sorted(verified.permissions))),
        encode(token.iss),
        encode(token.jti) if type(token.jti) is str else "",
        str(int(verified.valid_until)),
        encode(verified.unproven),
        encode(verified.would_deny),
    )
    return zip(_RAW, (value.encode("ascii") for value in values), strict=True)


def encode(value: str) -> str:
    """One claim as a header's value."""
    return quote(value, safe=_LITERAL)


def decode(value: str) -> str:
    """What :func:`encode` was given."""
    return unquote(value, errors="strict")
