"""Names of token exchange (RFC 8693 sections 2.1 and 3), as client and issuer write them."""

from typing import Final

GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN_TYPE: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 (a name)
JWT_TYPE: Final = "urn:ietf:params:oauth:token-type:jwt"
