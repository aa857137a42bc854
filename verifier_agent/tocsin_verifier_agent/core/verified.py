"""What a successful verification returns."""

from typing import Any, TypeVar

from msgspec import UNSET, Struct, UnsetType, ValidationError, convert

from tocsin_schemas import strict_json
from tocsin_schemas.errors import TokenRejected
from tocsin_verifier_agent.core.access_token import AccessToken

T = TypeVar("T")


class Verified(Struct, frozen=True, gc=False):
    """A token that may be accepted now.

    Attributes:
        payload: the claims as they were signed.
        token: the claims that decide, typed.
        valid_until: seconds of UTC; by then, look again: the token or its key expires, or the lease
            under this answer may have lapsed. Of a lease it is half of what is left at least.
        unproven: empty, or why nothing proves that the agent was up to date: it accepted all the
            same because `on_stale` says so. ``introspected`` where the issuer itself was asked.
        would_deny: in observe mode, the code with which the token would have been refused.
    """

    payload: bytes
    token: AccessToken
    valid_until: float
    unproven: str = ""
    would_deny: str = ""

    @property
    def claims(self) -> dict[str, Any]:
        """All claims; the caller's own copy."""
        return strict_json.loads_object(self.payload)

    def claims_as(self, kind: type[T]) -> T:
        """The claims as a type of the caller's: a msgspec Struct, a dataclass, a TypedDict.

        Raises:
            TokenRejected: ``claims`` where they do not fit.
        """
        try:
            return convert(self.claims, kind)
        except ValidationError:
            raise TokenRejected("claims") from None

    @property
    def issuer(self) -> str:
        """The ``iss`` claim."""
        return self.token.iss

    @property
    def subject(self) -> str:
        """The ``sub`` claim, or what the issuer's profile puts in its place."""
        return self.token.sub

    @property
    def client_id(self) -> str | None:
        """The client that the token was issued to."""
        return _or_none(self.token.client_id)

    @property
    def session_id(self) -> str | None:
        """The session that the token belongs to, if any."""
        return _or_none(self.token.sid)

    @property
    def bound_to(self) -> str | None:
        """The thumbprint of the certificate that the token is bound to (RFC 8705), if any."""
        cnf = self.token.cnf
        return None if cnf is UNSET else cnf.x5t_s256

    @property
    def scopes(self) -> frozenset[str]:
        """The words of ``scope`` (RFC 6749 section 3.3)."""
        scope = self.token.scope
        return frozenset() if scope is UNSET else frozenset(scope.split())

    @property
    def permissions(self) -> frozenset[str]:
        """``perms`` and the words of ``scope``, together."""
        perms = self.token.perms
        return self.scopes if perms is UNSET else self.scopes.union(perms)

    def allows(self, *permissions: str) -> bool:
        """Whether the token holds every permission, in ``perms`` or ``scope``."""
        return self.permissions.issuperset(permissions)


def _or_none(value: str | UnsetType) -> str | None:
    return None if value is UNSET else value
