"""A token seen before is read anew when a keyset changes how it is to be read."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from tests.support.agent import Agent
from tests.support.clock import NOW
from tests.support.forge import token
from tests.support.keys import signer
from tests.support.ledger import Ledger, publish, revoke_subject, signed_keyset
from tests.support.tokens import AUDIENCE, ISSUER
from tocsin_schemas.events import ImportedKey, IssuerKeysImported
from tocsin_schemas.issuer_profile import ForeignIssuer, IssuerProfile
from tocsin_schemas.keyset import Policy
from tocsin_verifier_agent.core.authority import LedgerAuthority
from tocsin_verifier_agent.core.token_verifier import TokenVerifier

IDP = "https://idp.example"
IDP_KEY = signer("ES256", "identity provider")
BY_SUB = IssuerProfile(typ=("jwt",), jti=None, sid=None, sub="sub", client=("azp",))
BY_OID = IssuerProfile(typ=("jwt",), jti=None, sid=None, sub="oid", client=("azp",))
WITH_SCOPE = IssuerProfile(
    typ=("jwt",), jti=None, sid=None, sub="sub", client=("azp",), must_hold=(("scp",),)
)


def foreign(profile: IssuerProfile) -> dict[str, Any]:
    named = ForeignIssuer(iss=IDP, jwks_uri=f"{IDP}/jwks", profile=profile)
    return {"foreign_issuers": (named,)}


def agent_of(profile: IssuerProfile) -> Agent:
    agent = Agent(Ledger(signed_keyset(**foreign(profile))))
    agent.verifier = TokenVerifier(
        LedgerAuthority(agent.replica),
        audiences={ISSUER: frozenset([AUDIENCE]), IDP: frozenset([AUDIENCE])},
        lease_clock=lambda: agent.clock.now(),
        wall_clock=lambda: agent.clock.utc(),
        cache=agent.cache,
    )
    key = ImportedKey(kid=IDP_KEY.kid, jwk=dict(IDP_KEY.public.jwk))
    agent.fold(
        IssuerKeysImported(id="event-1", reason="import", initiator="system", iss=IDP, keys=(key,))
    )
    agent.beat()
    return agent


def theirs(**changes: Any) -> str:
    members = {"iss": IDP, "sub": "pairwise", "oid": "person", "aud": AUDIENCE, "azp": "web"}
    return token(IDP_KEY, {**members, "iat": NOW, "exp": NOW + 600, **changes}, typ="JWT")


def change(agent: Agent, **changes: Any) -> None:
    agent.fold(publish(signed_keyset(2, **changes)))
    agent.beat()


def test_a_profile_that_asks_for_more() -> None:
    agent = agent_of(BY_SUB)
    text = theirs()
    assert agent.code(text) == "accepted"
    change(agent, **foreign(WITH_SCOPE))
    assert agent.code(text) == "typ"
    assert len(agent.cache) == 0


def test_a_profile_that_names_people_otherwise() -> None:
    """A rule by the new name hits the token, though it was read by the old one."""
    agent = agent_of(BY_SUB)
    text = theirs()
    assert agent.verify(text).subject == "pairwise"
    change(agent, **foreign(BY_OID))
    assert agent.verify(text).subject == "person"
    rule = revoke_subject("person", NOW + 1)
    agent.fold(structs.replace(rule, iss=IDP))
    agent.beat()
    assert agent.code(text) == "subject_revoked"


def test_a_policy_that_allows_a_shorter_life() -> None:
    agent = Agent()
    text = agent.mint(exp=NOW + 3000)
    assert agent.code(text) == "accepted"
    change(agent, policy=Policy(max_token_life_s=900))
    assert agent.code(text) == "exp"


def test_a_keyset_that_changes_nothing_for_it() -> None:
    agent = Agent()
    text = agent.mint()
    assert agent.code(text) == "accepted"
    change(agent)
    assert agent.code(text) == "accepted"
    assert len(agent.cache) == 1
