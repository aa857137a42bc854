"""Reading other providers' claims by their profile: the good, the other kinds, and the hostile."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from tests.issuer.foreign.dialects import DIALECTS
from tests.support.clock import NOW
from tests.support.tokens import own_jti
from tocsin_revocation_bus.core.state import digest_in
from tocsin_schemas.claims import IAT_AHEAD_S
from tocsin_schemas.errors import TokenRejected
from tocsin_schemas.issuer_profile import (
    AUTH0,
    AUTH0_RFC9068,
    ENTRA,
    KEYCLOAK,
    OKTA,
    OKTA_SERVICE,
    PROFILES,
    RFC9068,
    IssuerProfile,
)
from tocsin_verifier_agent.core import foreign_token
from tocsin_verifier_agent.core.claims_check import foreign_facts_from

ISS = "https://idp.example"


def claims_of(name: str, **changes: Any) -> dict[str, Any]:
    return DIALECTS[name].access(ISS, "api", NOW, **changes)


def rejected(profile: IssuerProfile, claims: dict[str, Any], typ: str | None) -> str:
    with pytest.raises(TokenRejected) as caught:
        foreign_token.read(profile, typ, claims)
    return caught.value.code


def perms(profile: IssuerProfile, claims: dict[str, Any], typ: str | None) -> tuple[str, set[str]]:
    token = foreign_token.read(profile, typ, claims)
    assert isinstance(token.scope, str)
    assert isinstance(token.perms, tuple)
    return token.scope, set(token.perms)


TYPES = {"keycloak": "jwt", "auth0": "jwt", "okta": None, "entra": "jwt"}


@pytest.mark.parametrize("name", DIALECTS)
def test_what_the_rules_will_look_at(name: str) -> None:
    dialect = DIALECTS[name]
    claims = claims_of(name)
    token = foreign_token.read(PROFILES[name], TYPES[name], claims)
    facts = foreign_facts_from("t" * 43, token)
    where = dialect.names
    assert facts.iss == ISS
    assert facts.sub == claims[str(where["sub"])]
    assert facts.clients == (claims[str(where["client"])],)
    assert facts.jtis == (() if where["jti"] is None else (claims[where["jti"]],))
    assert facts.sid == (None if where["sid"] is None else claims[where["sid"]])
    assert facts.iat == NOW - IAT_AHEAD_S, "a cutoff of ours takes some later tokens along"
    assert facts.places == ()


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("aud", ["api", "shop"])
def test_an_id_token_is_none(name: str, aud: str) -> None:
    claims = DIALECTS[name].id_token(ISS, aud, NOW)
    assert rejected(PROFILES[name], claims, TYPES[name]) == "typ"
    # As for a flow without a nonce, or a provider that hashes no access token.
    bare = {k: v for k, v in claims.items() if k not in ("nonce", "at_hash", "c_hash", "sid")}
    assert rejected(PROFILES[name], bare, TYPES[name]) == "typ"


@pytest.mark.parametrize(
    ("name", "typ"),
    [
        ("keycloak", None),
        ("keycloak", "id+jwt"),
        ("auth0", None),
        ("auth0", "at+jwt"),
        ("okta", "jwt"),
        ("okta", "okta-internal-at+jwt"),
        ("entra", None),
        ("entra", "pop"),
    ],
)
def test_a_header_of_another_type(name: str, typ: str | None) -> None:
    assert rejected(PROFILES[name], claims_of(name), typ) == "typ"


@pytest.mark.parametrize("kind", ["ID", "Refresh", "Offline", "Logout", "DPoP", "bearer", "", None])
def test_keycloaks_other_tokens(kind: str | None) -> None:
    assert rejected(KEYCLOAK, {**claims_of("keycloak"), "typ": kind}, "jwt") == "typ"


def test_keycloaks_access_tokens_may_have_the_rfcs_type() -> None:
    foreign_token.read(KEYCLOAK, "at+jwt", claims_of("keycloak"))


def test_auth0s_rfc9068_dialect() -> None:
    claims = {
        "iss": ISS,
        "sub": "auth0|1",
        "aud": ["api", "https://idp.example/userinfo"],
        "client_id": "shop",
        "iat": NOW,
        "exp": NOW + 600,
        "jti": "73Wak",
        "scope": "openid read",
        "permissions": ["write"],
    }
    token = foreign_token.read(AUTH0_RFC9068, "at+jwt", claims)
    assert (token.jti, token.client_id, token.perms) == ("73Wak", "shop", ("write",))
    assert rejected(AUTH0_RFC9068, {**claims, "nonce": "n"}, "at+jwt") == "typ"
    assert rejected(AUTH0, claims, "at+jwt") == "typ"


def test_oktas_tokens_without_a_user() -> None:
    claims = claims_of("okta", sub=None)
    assert rejected(OKTA, claims, None) == "sub", "no uid: nobody whose tokens could be revoked"
    token = foreign_token.read(OKTA_SERVICE, None, claims)
    assert (token.sub, token.clients()) == ("shop", ("shop",))
    assert rejected(OKTA_SERVICE, claims_of("okta"), None) == "typ", (
        "a user's token is no service's"
    )


def test_entras_first_version_and_its_tokens_without_a_user() -> None:
    old = {**claims_of("entra", client=None), "appid": "shop", "ver": "1.0"}
    assert foreign_token.read(ENTRA, "jwt", old).client_id == "shop"
    service = claims_of("entra", scp=None, sid=None)
    assert perms(ENTRA, service, "jwt") == ("", {"Orders.Admin"})
    assert rejected(ENTRA, claims_of("entra", scp=None, roles=None), "jwt") == "typ"


# --- hostile claims -----------------------------------------------------------------------------

_JUNK: list[Any] = [None, True, 0, 1.5, "", [], ["x"], {}, {"x": "y"}, "x" * 256]


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("ours", ["sub", "client", "jti", "sid"])
@pytest.mark.parametrize("junk", _JUNK, ids=repr)
def test_an_identifier_is_a_short_text_or_the_token_is_refused(
    name: str, ours: str, junk: Any
) -> None:
    theirs = DIALECTS[name].names[ours]
    if theirs is None:
        return
    claims = {**claims_of(name), theirs: junk}
    code = {"client": "client_id"}.get(ours, ours)
    assert rejected(PROFILES[name], claims, TYPES[name]) == code


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("claim", ["iat", "exp", "nbf"])
@pytest.mark.parametrize("junk", [None, True, "1", 1.0, -1, 0, 2**40, [], {}], ids=repr)
def test_a_time_is_a_whole_number(name: str, claim: str, junk: Any) -> None:
    assert rejected(PROFILES[name], {**claims_of(name), claim: junk}, TYPES[name]) == claim


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("claim", ["iss", "aud", "iat", "exp"])
def test_what_must_be_there(name: str, claim: str) -> None:
    claims = claims_of(name)
    del claims[claim]
    assert rejected(PROFILES[name], claims, TYPES[name]) == claim


@pytest.mark.parametrize("name", DIALECTS)
def test_a_jti_must_be_there_where_the_provider_has_one(name: str) -> None:
    theirs = DIALECTS[name].names["jti"]
    claims = claims_of(name)
    if theirs is None:
        foreign_token.read(PROFILES[name], TYPES[name], claims)
    else:
        del claims[theirs]
        assert rejected(PROFILES[name], claims, TYPES[name]) == "jti"


@pytest.mark.parametrize(
    "scp",
    [None, 1, True, {}, [1], [None], ["a b"], ["a\u00a0b"], ["a", ""], [["a"]]],
)
def test_a_scope_in_an_array_is_one_word(scp: Any) -> None:
    """One member `a admin` must not become the two scopes `a` and `admin`."""
    assert rejected(OKTA, {**claims_of("okta"), "scp": scp}, None) == "scope"


def test_scopes_as_words_and_as_an_array() -> None:
    assert perms(OKTA, {**claims_of("okta"), "scp": "a b"}, None)[0] == "a b"
    assert perms(OKTA, {**claims_of("okta"), "scp": []}, None)[0] == ""
    both = structs.replace(RFC9068, scope=("scope", "scp"))
    claims = {**_plain(), "scope": "a", "scp": ["b"]}
    assert perms(both, claims, "at+jwt")[0] == "a b"


def _plain() -> dict[str, Any]:
    return {
        "iss": ISS,
        "sub": "s",
        "aud": "api",
        "iat": NOW,
        "exp": NOW + 60,
        "jti": "j",
    }


@pytest.mark.parametrize(
    "access", [None, 1, "admin", [], ["admin"], {"roles": "admin"}, {"roles": None},
               {"roles": {"admin": True}}, {"roles": [1]}, {"roles": [["admin"]]}]
)  # fmt: skip
def test_a_path_leads_through_objects_to_an_array_of_texts(access: Any) -> None:
    claims = {**claims_of("keycloak"), "realm_access": access}
    assert rejected(KEYCLOAK, claims, "jwt") == "perms"


def test_what_is_not_at_the_end_of_a_path_is_no_role() -> None:
    nested = structs.replace(KEYCLOAK, roles=(("resource_access", "orders", "roles"),))
    token = claims_of("keycloak")
    assert perms(nested, token, "jwt")[1] == set()
    token["resource_access"] = {"orders": {"roles": ["clerk"]}, "other": {"roles": ["admin"]}}
    assert perms(nested, token, "jwt")[1] == {"clerk"}
    # A name with a dot is one name, not a path.
    token["resource_access"] = {"orders.roles": ["admin"], "orders": {}}
    assert perms(nested, token, "jwt")[1] == set()


def test_no_claim_of_ours_means_anything_in_theirs() -> None:
    """`perms`, `role`, `act`, `orig` are ours; a provider's users may get to write such names."""
    claims = {
        **claims_of("keycloak"),
        "perms": ["admin"],
        "role": "admin",
        "act": {"sub": "somebody"},
        "orig": {"iat": 1, "jti": "x"},
        "client_id": "another",
    }
    token = foreign_token.read(KEYCLOAK, "jwt", claims)
    facts = foreign_facts_from("t" * 43, token)
    assert "admin" not in (token.perms or ())
    assert facts.clients == ("shop",)
    assert (facts.iat, len(facts.jtis)) == (NOW - IAT_AHEAD_S, 1)


def test_a_client_that_is_missing_is_nobodys() -> None:
    claims = claims_of("keycloak", client=None)
    assert foreign_facts_from("t" * 43, foreign_token.read(KEYCLOAK, "jwt", claims)).clients == ()
    claims["client_id"] = "second choice"
    facts = foreign_facts_from("t" * 43, foreign_token.read(KEYCLOAK, "jwt", claims))
    assert facts.clients == ("second choice",)
    assert rejected(AUTH0, claims_of("auth0", client=None), "jwt") == "typ"


def test_an_origin_or_jti_that_looks_like_ours_is_theirs() -> None:
    """A jti in the form of our lanes must not be read as a place in one of ours."""
    name = own_jti()
    token = foreign_token.read(KEYCLOAK, "jwt", claims_of("keycloak", jti=name))
    facts = foreign_facts_from("t" * 43, token)
    assert (facts.places, facts.jtis) == ((), (name,))


names = st.text(min_size=1, max_size=255)


@given(names, names)
def test_equal_names_of_two_issuers_are_two_things(iss: str, name: str) -> None:
    assert digest_in(iss, name) != digest_in(None, name)
    assert digest_in(iss, name) != digest_in(iss + "/", name)


@given(names, names, names, names)
def test_no_two_pairs_run_together(a: str, x: str, b: str, y: str) -> None:
    assert ((a, x) == (b, y)) is (digest_in(a, x) == digest_in(b, y))


@given(names, names, names)
def test_not_even_by_moving_text_from_the_name_to_the_issuer(a: str, b: str, c: str) -> None:
    assert digest_in(a + b, c) != digest_in(a, b + c)
    assert digest_in(a, b) != digest_in(None, a + b)
