"""Which foreign issuers there are: those that the keyset in force names, and no others."""

from __future__ import annotations

from collections.abc import Callable

from tocsin_issuer.foreign.key_set import our_thumbprints
from tocsin_schemas.errors import RequestRejected
from tocsin_schemas.keyset import Keyset


class KnownIssuers:
    """A view of the keyset in force, which may change at any time."""

    def __init__(self, keyset: Callable[[], Keyset | None]) -> None:
        self._keyset = keyset

    def require(self, iss: str) -> None:
        """A rule about an issuer that nobody accepts would be a mistyped name, and hit nothing.

        Raises:
            RequestRejected: ``unknown_issuer`` (404).
        """
        keyset = self._keyset()
        if keyset is None or iss not in {issuer.iss for issuer in keyset.foreign_issuers}:
            raise RequestRejected("unknown_issuer", "the keyset names no such issuer", 404)

    def require_foreign_key(self, kid: str) -> None:
        """A key of ours is revoked with the others of ours, where a successor takes over.

        Raises:
            RequestRejected: ``key_is_ours`` (409).
        """
        keyset = self._keyset()
        if keyset is not None and kid in our_thumbprints(keyset):
            raise RequestRejected("key_is_ours", "this is a key of our own issuer", 409)

    def longest_life_s(self) -> int:
        """Of any token of any issuer, by the policy, in seconds; 0 while there is no keyset."""
        keyset = self._keyset()
        return 0 if keyset is None else keyset.policy.max_token_life_s


NO_FOREIGN_ISSUERS = KnownIssuers(lambda: None)
