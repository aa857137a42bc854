"""What a successful verification returns."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct


class Verified(Struct, frozen=True):
    """A token that may be accepted now.

    ``claims`` is a read-only view, shared between the callers that present the same token.
    ``valid_until`` is in seconds of UTC: by then, look again (the token expires, or the lease under
    this answer would have lapsed).
    """

    claims: Mapping[str, Any]
    valid_until: float

    @property
    def subject(self) -> str:
        """The ``sub`` claim."""
        sub: str = self.claims["sub"]
        return sub

    @property
    def permissions(self) -> frozenset[str]:
        """``perms`` and the words of ``scope`` (RFC 6749 section 3.3), together."""
        return frozenset(self.claims.get("perms", ())) | frozenset(
            self.claims.get("scope", "").split()
        )
