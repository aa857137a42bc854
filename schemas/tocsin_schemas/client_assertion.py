"""Names of a client's signed assertion (RFC 7523 section 2.2), as client and issuer write them."""

from typing import Final

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_TYP: Final = "client-authentication+jwt"
"""The ``typ``: no other statement of the key's can be taken for one (RFC 8725 section 3.11)."""
