"""Foreign issuers' tokens while the agent is stale: our issuer knows nothing of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from msgspec import structs

from tests.support.clock import NOW, FixedClock
from tests.support.endpoint import INACTIVE, Endpoint, served
from tests.support.forge import token
from tests.support.keys import signer
from tests.support.ledger import TOKEN_KEY, Ledger, pinned, revoke_subject, signed_keyset
from tests.support.tokens import AUDIENCE, ISSUER, claims
from tocsin_revocation_bus.core.replica import AgentState, Replica, Status
from tocsin_revocation_bus.jetstream.connection import BusAddress
from tocsin_schemas.errors import AgentStale, TokenRejected
from tocsin_schemas.events import ImportedKey, IssuerKeysImported
from tocsin_schemas.issuer_profile import PROFILES, ForeignIssuer
from tocsin_verifier_agent import VerifierAgent
from tocsin_verifier_agent.agent import AgentConfig
from tocsin_verifier_agent.feed import Clocks
from tocsin_verifier_agent.introspection import IntrospectionClient

IDP = "https://idp.example"
IDP_KEY = signer("ES256", "identity provider")
LEASE_S = 120


@dataclass
class Fed:
    """A feed with nothing to do: the test brings all that there is."""

    replica: Replica
    clock: FixedClock

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def wait_live(self, timeout: float) -> bool:
        return self.status().state is AgentState.LIVE

    def status(self) -> Status:
        return self.replica.status(self.clock.now(), self.clock.utc())


def ledger() -> Ledger:
    """It names a foreign issuer and has its key; somebody of it is locked out."""
    named = ForeignIssuer(iss=IDP, jwks_uri=f"{IDP}/jwks", profile=PROFILES["rfc9068"])
    made = Ledger(signed_keyset(foreign_issuers=(named,)))
    who: dict[str, Any] = {"id": "event-1", "reason": "test", "initiator": "system"}
    key = ImportedKey(kid=IDP_KEY.kid, jwk=dict(IDP_KEY.public.jwk))
    made.append(IssuerKeysImported(**who, iss=IDP, keys=(key,)))
    made.append(structs.replace(revoke_subject("locked out", NOW + 1), iss=IDP))
    return made


def theirs(**changes: Any) -> str:
    return token(IDP_KEY, claims(NOW, iss=IDP, jti="of-its-own-making", **changes))


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    """Our issuer's, which says of every foreign token that it is not active."""
    async with served() as endpoint:
        endpoint.script = INACTIVE
        yield endpoint


@pytest.fixture
async def agent(endpoint: Endpoint) -> AsyncIterator[VerifierAgent]:
    """Stale, and to ask the issuer."""
    clock = FixedClock()
    config = AgentConfig(
        issuer=ISSUER,
        audiences=frozenset([AUDIENCE]),
        pinned=pinned(),
        address=BusAddress(()),
        foreign={IDP: frozenset([AUDIENCE])},
        on_stale="introspect",
        introspection=IntrospectionClient(
            url=endpoint.url, client_id="orders", client_secret="secret"
        ),
    )
    clocks = Clocks(clock.now, clock.utc)
    agent = VerifierAgent(config, feed=lambda replica: Fed(replica, clock), clocks=clocks)
    made = ledger()
    made.feed(agent.replica)
    made.make_live(agent.replica)
    assert agent.verify(theirs()).issuer == IDP
    async with agent:
        clock.advance(LEASE_S + 1)
        yield agent


async def test_they_get_503_and_nobody_is_asked(agent: VerifierAgent, endpoint: Endpoint) -> None:
    with pytest.raises(AgentStale) as stale:
        await agent.authenticate(theirs())
    assert stale.value.code == "lease_lapsed"
    with pytest.raises(AgentStale):
        agent.authenticate_blocking(theirs())
    assert endpoint.asked == []
    ours = token(TOKEN_KEY, claims(NOW))
    with pytest.raises(TokenRejected, match="not valid") as rejected:
        await agent.authenticate(ours)
    assert rejected.value.code == "inactive"
    assert [asked.form["token"] for asked in endpoint.asked] == [[ours]]


async def test_what_is_known_of_them_is_said(agent: VerifierAgent, endpoint: Endpoint) -> None:
    for bad, code in (
        (theirs(sub="locked out"), "subject_revoked"),
        (theirs(aud="somebody-else"), "aud"),
        (theirs()[:-8] + "AAAAAAAA", "signature"),
    ):
        with pytest.raises(TokenRejected) as rejected:
            await agent.authenticate(bad)
        assert rejected.value.code == code
    assert endpoint.asked == []


async def test_a_route_may_accept_them(agent: VerifierAgent) -> None:
    assert (await agent.authenticate(theirs(), on_stale="accept")).unproven == "lease_lapsed"
