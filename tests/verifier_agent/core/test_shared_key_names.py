"""Many issuers that call their keys by one name: each key is for its own issuer's tokens alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.agent import Agent
from tests.support.clock import NOW
from tests.support.forge import header_of, octets, seal
from tests.support.keys import signer
from tests.support.ledger import Ledger, signed_keyset
from tests.support.tokens import AUDIENCE, ISSUER
from tocsin_issuer.keys.signer import PrivateKeySigner
from tocsin_schemas.events import ImportedKey, IssuerKeysImported
from tocsin_schemas.issuer_profile import ForeignIssuer, IssuerProfile
from tocsin_verifier_agent.core.authority import LedgerAuthority
from tocsin_verifier_agent.core.token_verifier import TokenVerifier

PROFILE = IssuerProfile(typ=("jwt",), jti=None, sid=None, sub="sub", client=("azp",))
IDPS = [f"https://idp{n}.example" for n in range(4)]
KEYS = {iss: signer("ES256", iss) for iss in IDPS}
NAME = "key-1"


@pytest.fixture
def agent() -> Agent:
    named = tuple(ForeignIssuer(iss=iss, jwks_uri=f"{iss}/jwks", profile=PROFILE) for iss in IDPS)
    agent = Agent(Ledger(signed_keyset(foreign_issuers=named)))
    agent.verifier = TokenVerifier(
        LedgerAuthority(agent.replica),
        audiences={iss: frozenset([AUDIENCE]) for iss in (ISSUER, *IDPS)},
        lease_clock=lambda: agent.clock.now(),
        wall_clock=lambda: agent.clock.utc(),
        cache=agent.cache,
    )
    for n, (iss, key) in enumerate(KEYS.items()):
        keys = (ImportedKey(kid=NAME, jwk=dict(key.public.jwk)),)
        agent.fold(
            IssuerKeysImported(id=f"e{n}", reason="import", initiator="system", iss=iss, keys=keys)
        )
    agent.beat()
    return agent


def of(iss: Any, key: PrivateKeySigner) -> str:
    members = {"iss": iss, "sub": "s", "aud": AUDIENCE, "iat": NOW, "exp": NOW + 600}
    return seal({**header_of(key, typ="JWT"), "kid": NAME}, octets(members), key.sign)


@pytest.mark.parametrize("iss", IDPS)
def test_each_issuers_own_key_is_found(agent: Agent, iss: str) -> None:
    assert agent.code(of(iss, KEYS[iss])) == "accepted"


def test_no_key_is_tried_but_that_of_the_issuer_that_the_token_names(agent: Agent) -> None:
    """Else one bad token would cost a signature for each issuer: with 32 of them, 25 times as much
    as a good one. A key that verifies it, and is another issuer's, is not even looked at.
    """
    for iss in IDPS[1:]:
        assert agent.code(of(iss, KEYS[IDPS[0]])) == "signature"


NOT_THEIRS = {"https://stranger.example": "iss", 7: "iss", None: "iss", ISSUER: "kid"}


@pytest.mark.parametrize(("iss", "code"), NOT_THEIRS.items())
def test_who_names_none_of_them_is_refused_without_a_signature(
    agent: Agent, iss: object, code: str
) -> None:
    text = of(iss, KEYS[IDPS[0]])
    assert agent.code(text) == code
    assert agent.code(text[: text.rindex(".") + 1] + "AAAA") == code


def test_an_issuer_that_has_given_up_the_name(agent: Agent) -> None:
    """As with any key that is not known, a newer import may have it."""
    following = (ImportedKey(kid="key-2", jwk=dict(KEYS[IDPS[0]].public.jwk)),)
    agent.fold(
        IssuerKeysImported(
            id="next", reason="import", initiator="system", iss=IDPS[0], keys=following
        )
    )
    agent.beat()
    assert agent.code(of(IDPS[0], KEYS[IDPS[0]])) == "kid"
    assert agent.code(of(IDPS[1], KEYS[IDPS[1]])) == "accepted"


def test_a_payload_that_cannot_be_read(agent: Agent) -> None:
    key = KEYS[IDPS[0]]
    text = seal({**header_of(key, typ="JWT"), "kid": NAME}, b'{"iss":1,"iss":2}', key.sign)
    assert agent.code(text) == "payload"
