"""What an operator writes, and the keyset that comes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from tests.support.clock import NOW
from tests.support.keys import signer
from tests.support.ledger import DAY, key_entry, make_keyset, signed_keyset
from tocsin_issuer.core.keyset_drafts import next_keyset, with_foreign_issuers
from tocsin_issuer.foreign.issuers_file import read_issuers_file
from tocsin_issuer.settings import checked_config
from tocsin_schemas import keyset as keysets
from tocsin_schemas.errors import ConfigurationError
from tocsin_schemas.issuer_profile import AUTH0, KEYCLOAK, PROFILES, RFC9068, ForeignIssuer

OURS = "https://issuer.example"
IDP: dict[str, Any] = {
    "iss": "https://idp.example",
    "jwks_uri": "https://idp.example/keys",
    "profile": "keycloak",
}


def config(*issuers: dict[str, Any], **more: Any) -> Any:
    return checked_config(
        {"iss": OURS, "default_audiences": ("orders",), "foreign_issuers": issuers, **more}
    )


def refused(*issuers: dict[str, Any], **more: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        config(*issuers, **more)
    assert caught.value.code == "setting_invalid"
    return str(caught.value)


@pytest.mark.parametrize("name", ["mode", "observe", "on_stale"])
def test_what_a_service_may_choose_the_issuer_may_not(name: str) -> None:
    """It refuses without a lease and obeys every rule, or it would trade revoked tokens."""
    assert refused(**{name: "observe"}).startswith(f"{name}: ")


def profile(given: Any) -> Any:
    return config({**IDP, "profile": given}).foreign_issuers[0].named.profile


@pytest.mark.parametrize("name", PROFILES)
def test_a_preset_by_its_name(name: str) -> None:
    assert profile(name) == PROFILES[name]


def test_a_table_in_place_of_parts_of_a_preset() -> None:
    roles = [["resource_access", "orders", "roles"]]
    assert profile({"preset": "keycloak", "roles": roles}) == structs.replace(
        KEYCLOAK, roles=(("resource_access", "orders", "roles"),)
    )
    assert profile({"typ": ["jwt"], "jti": ""}) == structs.replace(RFC9068, typ=("jwt",), jti=None)
    assert profile({"preset": "auth0"}) == AUTH0


@pytest.mark.parametrize(
    ("issuer", "part"),
    [
        ({**IDP, "profile": "keycloack"}, "profile_unknown"),
        ({**IDP, "profile": {"preset": 1}}, "profile_unknown"),
        ({**IDP, "profile": {"preset": "okta", "jtl": "x"}}, "profile_invalid"),
        ({**IDP, "profile": {"typ": []}}, "profile_invalid"),
        ({**IDP, "profile": {"typ": ["JWT"]}}, "profile_invalid"),
        ({**IDP, "profile": {"roles": ["roles"]}}, "profile_invalid"),
        ({**IDP, "profile": {"sub": ""}}, "profile_invalid"),
        ({**IDP, "profile": 1}, "foreign_issuers.0.profile"),
        ({**IDP, "jwks_uri": "http://idp.example/keys"}, "jwks_uri"),
        ({**IDP, "jwks_uri": "https://user:secret@idp.example/keys"}, "jwks_uri"),
        ({**IDP, "iss": ""}, "foreign_issuers.0.iss"),
        ({**IDP, "secret": "x"}, "foreign_issuers.0.secret"),
        ({"iss": "https://idp.example"}, "foreign_issuers.0.jwks_uri"),
        ({**IDP, "iss": OURS}, "our own iss"),
    ],
)
def test_what_is_wrong_is_told(issuer: dict[str, Any], part: str) -> None:
    text = refused(issuer)
    assert part in text
    assert "secret@" not in text
    assert "\n" not in text


def test_an_issuer_stands_once() -> None:
    assert "stands twice" in refused(IDP, {**IDP, "profile": "okta"})
    assert "foreign_issuers" in refused(*({**IDP, "iss": f"https://{n}"} for n in range(33)))
    assert "exceeds" in refused(IDP, foreign_refresh_s=10)


def test_the_file(tmp_path: Path) -> None:
    path = tmp_path / "issuers.toml"
    assert read_issuers_file(path) == {}, "no file leaves the keyset as it is"
    path.write_text(
        'foreign_token_life_s = 5400\n[[foreign_issuers]]\niss = "https://idp.example"\n'
        'jwks_uri = "https://idp.example/keys"\n'
        'profile = { preset = "keycloak", sid = "" }\n'
    )
    settings = read_issuers_file(path)
    checked = config(**settings)
    assert checked.foreign_token_life_s == 5400
    assert checked.foreign_issuers[0].named == ForeignIssuer(
        iss="https://idp.example",
        jwks_uri="https://idp.example/keys",
        profile=structs.replace(KEYCLOAK, sid=None),
    )


@pytest.mark.parametrize(
    "text", ['iss = "https://evil.example"', "redis_url = 1", "[[foreign_issuers]", "\xff"]
)
def test_a_file_that_says_something_else(tmp_path: Path, text: str) -> None:
    path = tmp_path / "issuers.toml"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ConfigurationError) as caught:
        read_issuers_file(path)
    assert caught.value.code == "issuers_file_malformed"
    path.unlink()
    path.mkdir()
    with pytest.raises(ConfigurationError) as caught:
        read_issuers_file(path)
    assert caught.value.code == "issuers_file_unreadable"


# --- the keyset ---------------------------------------------------------------------------------

FOREIGN = config(IDP).foreign_issuers[0].named


def test_the_next_keyset_names_them_and_changes_nothing_else() -> None:
    keyset = make_keyset()
    following = with_foreign_issuers(keyset, (FOREIGN,), max_token_life_s=None, now=NOW)
    assert following is not None
    assert following == structs.replace(
        keyset, version=keyset.version + 1, issued_at=NOW, foreign_issuers=(FOREIGN,)
    )
    document = signed_keyset(2, issued_at=NOW, foreign_issuers=(FOREIGN,))
    assert keysets.parse_unverified(document) == following
    assert with_foreign_issuers(following, (FOREIGN,), max_token_life_s=60, now=NOW + 9) is None


def test_the_policy_is_only_ever_widened_for_them() -> None:
    keyset = make_keyset()
    longer = with_foreign_issuers(keyset, (), max_token_life_s=5400, now=NOW)
    assert longer is not None
    assert longer.policy == structs.replace(keyset.policy, max_token_life_s=5400)
    assert with_foreign_issuers(keyset, (), max_token_life_s=60, now=NOW) is None


def test_a_rotation_and_a_renewal_carry_them_along() -> None:
    keyset = make_keyset(foreign_issuers=(FOREIGN,))
    first, second = (key.kid for key in keyset.keys if key.use == "token")
    for active, retiring in ((second, first), (first, None)):
        following = next_keyset(
            keyset,
            active=active,
            retiring=retiring,
            added=key_entry(signer("Ed25519", "third"), "token"),
            revoked=(),
            now=NOW,
            expires_at=NOW + 30 * DAY,
            bound_s=121,
        )
        assert following.foreign_issuers == (FOREIGN,)
