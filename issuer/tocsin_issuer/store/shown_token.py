"""A token of ours that somebody shows, as the register is asked whether it is what was issued.

The register knows a token by its jti, which everybody knows who has seen the token. So it keeps a
digest of what else was issued under it: a token that somebody signed with a stolen key, under the
jti of a good one, says something else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Self

import orjson

from tocsin_schemas import base64url, jws
from tocsin_verifier_agent.core.verified import Verified

_DIGEST_BYTES: Final = 16
_TIMES: Final = frozenset(("iat", "nbf", "exp"))


def issued_digest(claims: Mapping[str, Any]) -> str:
    """Of all claims but the times, which the register has by itself: 22 base64url characters."""
    said = {name: value for name, value in claims.items() if name not in _TIMES}
    text = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
    return base64url.encode(sha256(text).digest()[:_DIGEST_BYTES])


@dataclass(frozen=True, slots=True)
class ShownToken:
    """What is compared of it. Times are seconds of UTC."""

    jti: str
    kid: str
    iat: int
    exp: int
    digest: str

    @classmethod
    def of(cls, verified: Verified, text: str) -> Self:
        """One that the issuer's own verifier has found good, and its text."""
        token, kid = verified.token, jws.parse_header(text.partition(".")[0]).kid
        return cls(str(token.jti), kid, token.iat, token.exp, issued_digest(verified.claims))

    @property
    def text(self) -> str:
        """For the register's script: neither our jtis nor our kids hold a line feed."""
        return f"{self.jti}\n{self.kid}\n{self.exp}\n{self.iat}\n{self.digest}"
