"""Access token claims (RFC 9068), and the times that issuer and verifier must agree on."""

from typing import Any, Final, NotRequired, TypedDict

from tocsin_schemas.confirmation import ConfirmationClaim

ACCESS_TOKEN_TYP: Final = "at+jwt"  # noqa: S105 (no password)

EXP_LEEWAY_S: Final = 30
NBF_LEEWAY_S: Final = 30
IAT_AHEAD_S: Final = 5


class OriginClaim(TypedDict):
    """The first subject token of a derived one: whatever kills it kills this one too."""

    jti: str
    iat: int


class AccessTokenClaims(TypedDict):
    """What the issuer writes. Times are whole seconds of UTC."""

    iss: str
    sub: str
    aud: str | list[str]
    client_id: str
    cnf: NotRequired[ConfirmationClaim]
    iat: int
    nbf: int
    exp: int
    jti: str
    sid: NotRequired[str]
    scope: NotRequired[str]
    role: NotRequired[str]
    perms: NotRequired[list[str]]
    act: NotRequired[dict[str, Any]]
    orig: NotRequired[OriginClaim]


def rule_until(exp: int) -> int:
    """How long a rule against a token that expires at ``exp`` must live, leeway included."""
    return exp + EXP_LEEWAY_S
