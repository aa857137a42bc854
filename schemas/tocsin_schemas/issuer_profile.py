"""How another identity provider writes its access tokens: types, names of claims, conventions.

Each provider writes access tokens in a way of its own, and several give ID tokens the same ``typ``.
A profile says which tokens of an issuer are access tokens at all, and where what the rules look at
stands. The roots sign it in the keyset, so that all verifiers read an issuer's tokens alike.
"""

from collections.abc import Mapping
from typing import Annotated, Final

from msgspec import Meta, Struct

NO_TYP: Final = ""

ClaimName = Annotated[str, Meta(min_length=1, max_length=128)]
ClaimText = Annotated[str, Meta(max_length=255)]
HeaderType = Annotated[str, Meta(pattern=r"^([a-z0-9][a-z0-9.+-]{0,62})?\Z")]
Alternatives = Annotated[tuple[ClaimName, ...], Meta(min_length=1, max_length=8)]
Path = Annotated[tuple[ClaimName, ...], Meta(min_length=1, max_length=4)]
IssuerName = Annotated[str, Meta(min_length=1, max_length=1024)]


class IssuerProfile(
    Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """One issuer's conventions.

    Attributes:
        typ: the header types to accept, lower case and without ``application/``;
            ``""`` stands for a header without one.
        must_equal: claims that must hold exactly these texts.
        must_hold: of each group at least one claim must be there.
        must_not_hold: claims that only tokens of other kinds hold.
        jti: the claim with the token's id, which must be there, or None where tokens have none:
            such a token can be revoked by all that it is part of, not by itself.
        sub: the claim with the subject, by which its tokens are revoked.
        sid: the claim with the session's id, where there is a session, or None.
        client: the claims that may hold the client's id; the first that is there counts.
        scope: claims that hold scopes, as words of a string or as an array.
        roles: paths to arrays of roles or permissions, through objects.
    """

    typ: Annotated[tuple[HeaderType, ...], Meta(min_length=1, max_length=4)] = ("at+jwt",)
    must_equal: Annotated[dict[ClaimName, ClaimText], Meta(max_length=8)] = {}
    must_hold: Annotated[tuple[Alternatives, ...], Meta(max_length=8)] = ()
    must_not_hold: Annotated[tuple[ClaimName, ...], Meta(max_length=16)] = ()
    jti: ClaimName | None = "jti"
    sub: ClaimName = "sub"
    sid: ClaimName | None = "sid"
    client: Annotated[tuple[ClaimName, ...], Meta(max_length=4)] = ("client_id", "azp")
    scope: Annotated[tuple[ClaimName, ...], Meta(max_length=4)] = ("scope",)
    roles: Annotated[tuple[Path, ...], Meta(max_length=8)] = ()


class ForeignIssuer(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An issuer other than ours, whose tokens verifiers may accept: the roots vouch for the name,
    for where its keys are fetched by our issuer, and for how its tokens are read.
    """

    iss: IssuerName
    jwks_uri: Annotated[str, Meta(min_length=1, max_length=1024)]
    profile: IssuerProfile


_ID_TOKEN_ONLY = ("nonce", "at_hash", "c_hash")

RFC9068: Final = IssuerProfile()
# Access tokens name themselves in a claim; the header says `JWT`, or `at+jwt` where a client is so
# configured. `DPoP` in place of `Bearer` asks for a proof that nobody here looks at.
KEYCLOAK: Final = IssuerProfile(
    typ=("jwt", "at+jwt"),
    must_equal={"typ": "Bearer"},
    must_not_hold=("at_hash", "c_hash"),
    client=("azp", "client_id"),
    roles=(("realm_access", "roles"),),
)
# Auth0's own dialect has no jti, and `azp` where an RFC 9068 token has `client_id`.
AUTH0: Final = IssuerProfile(
    typ=("jwt",),
    must_hold=(("azp",),),
    must_not_hold=_ID_TOKEN_ONLY,
    jti=None,
    sid=None,
    client=("azp",),
    roles=(("permissions",),),
)
AUTH0_RFC9068: Final = IssuerProfile(
    must_hold=(("client_id",),),
    must_not_hold=_ID_TOKEN_ONLY,
    sid=None,
    client=("client_id",),
    roles=(("permissions",),),
)
# Custom authorization servers write no `typ`; `cid` stands in access tokens alone. `sub` is the
# user's login name, which may change and says who it is; `uid` does neither.
OKTA: Final = IssuerProfile(
    typ=(NO_TYP, "at+jwt"),
    must_hold=(("cid",),),
    must_not_hold=_ID_TOKEN_ONLY,
    sub="uid",
    sid=None,
    client=("cid",),
    scope=("scp",),
    roles=(("groups",),),
)
# An authorization server for client credentials alone: no user stands behind its tokens.
OKTA_SERVICE: Final = IssuerProfile(
    typ=(NO_TYP, "at+jwt"),
    must_hold=(("cid",),),
    must_not_hold=(*_ID_TOKEN_ONLY, "uid"),
    sub="cid",
    sid=None,
    client=("cid",),
    scope=("scp",),
)
# `sub` differs for each application; `oid` is the same person everywhere. `uti` is the token's id.
ENTRA: Final = IssuerProfile(
    typ=("jwt",),
    must_hold=(("azp", "appid"), ("scp", "roles")),
    must_not_hold=_ID_TOKEN_ONLY,
    jti="uti",
    sub="oid",
    client=("azp", "appid"),
    scope=("scp",),
    roles=(("roles",),),
)

PROFILES: Final[Mapping[str, IssuerProfile]] = {
    "rfc9068": RFC9068,
    "keycloak": KEYCLOAK,
    "auth0": AUTH0,
    "auth0-rfc9068": AUTH0_RFC9068,
    "okta": OKTA,
    "okta-service": OKTA_SERVICE,
    "entra": ENTRA,
}
