"""What a successful verification returns."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from msgspec import Struct


class Verified(Struct, frozen=True):
    """A token that may be accepted now.

    ``valid_until`` is in seconds of UTC: by then, look again (the token or its key expires, or the
    lease under this answer would have lapsed). ``shared`` belongs to the verifier, which gives it
    to every caller that presents the same token: read ``claims`` instead.
    """

    shared: Mapping[str, Any]
    valid_until: float

    @property
    def claims(self) -> Mapping[str, Any]:
        """The claims, read-only; arrays and objects in them are the caller's own copies."""
        return MappingProxyType({name: _copy(value) for name, value in self.shared.items()})

    @property
    def subject(self) -> str:
        """The ``sub`` claim."""
        sub: str = self.shared["sub"]
        return sub

    @property
    def permissions(self) -> frozenset[str]:
        """``perms`` and the words of ``scope`` (RFC 6749 section 3.3), together."""
        return frozenset(self.shared.get("perms", ())) | frozenset(
            self.shared.get("scope", "").split()
        )


def _copy(value: Any) -> Any:
    if type(value) is list:
        return [_copy(one) for one in value]
    if type(value) is dict:
        return {name: _copy(one) for name, one in value.items()}
    return value
