"""Names of token exchange (RFC 8693 sections 2.1 and 3), as client and issuer write them."""

from typing import Final

GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN_TYPE: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 (a name)
JWT_TYPE: Final = "urn:ietf:params:oauth:token-type:jwt"
SUBJECT_TOKEN_INVALID: Final = "subject_token_invalid"  # noqa: S105 (a code)
"""Our code of an ``invalid_request``: the caller's token is not, or no longer, good."""
