"""What Prometheus is told of an agent."""

from __future__ import annotations

from contextlib import suppress

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from tocsin_schemas.errors import TocsinError
from tocsin_verifier_agent import VerifierAgent
from tocsin_verifier_agent.metrics import AgentCollector
from tocsin_verifier_agent.testing import LocalIssuer


@pytest.fixture
def issuer() -> LocalIssuer:
    return LocalIssuer()


def registry_of(agent: VerifierAgent) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(AgentCollector(agent))
    return registry


def ask(agent: VerifierAgent, token: str) -> None:
    with suppress(TocsinError):
        agent.verify(token)


def test_a_live_agent(issuer: LocalIssuer) -> None:
    registry = registry_of(issuer.agent)
    issuer.revoke_session("s-1")
    issuer.revoke_subject("bob")
    get = registry.get_sample_value
    assert get("tocsin_agent_live", {"reason": ""}) == 1
    assert get("tocsin_agent_lease_remaining_seconds") == 120
    assert get("tocsin_agent_head") == 3
    assert get("tocsin_agent_observes") == 0
    assert get("tocsin_agent_rules", {"kind": "sessions"}) == 1
    assert get("tocsin_agent_rules", {"kind": "subjects"}) == 1
    keyset = issuer.agent.replica.trust.keyset
    assert keyset is not None
    assert get("tocsin_agent_keyset_expires_timestamp_seconds") == keyset.expires_at


def test_an_agent_whose_lease_runs_out(issuer: LocalIssuer) -> None:
    get = registry_of(issuer.agent).get_sample_value
    issuer.cut_off()
    issuer.advance(50)
    assert get("tocsin_agent_lease_remaining_seconds") == 70
    issuer.advance(71)
    assert get("tocsin_agent_lease_remaining_seconds") == 0
    assert get("tocsin_agent_live", {"reason": "lease_lapsed"}) == 0
    assert get("tocsin_agent_live", {"reason": ""}) is None


def test_an_expired_keyset_leaves_no_lease(issuer: LocalIssuer) -> None:
    get = registry_of(issuer.agent).get_sample_value
    lease = issuer.agent.replica.lease
    issuer.cut_off()
    issuer.advance(90 * 24 * 3600)
    lease.proven_at = issuer.clock.lease()
    assert get("tocsin_agent_live", {"reason": "keyset_expired"}) == 0
    assert get("tocsin_agent_lease_remaining_seconds") == 0


def test_an_agent_that_knows_nothing_yet(issuer: LocalIssuer) -> None:
    issuer.cut_off()
    get = registry_of(issuer.new_agent()).get_sample_value
    assert get("tocsin_agent_live", {"reason": "no_ledger"}) == 0
    assert get("tocsin_agent_head") == 0
    assert get("tocsin_agent_lease_remaining_seconds") == 0
    assert get("tocsin_agent_keyset_expires_timestamp_seconds") == 0


def test_what_is_counted(issuer: LocalIssuer) -> None:
    agent = issuer.new_agent(on_stale="accept")
    get = registry_of(agent).get_sample_value
    revoked, good = issuer.mint(), issuer.mint(expires_in=3600)
    issuer.revoke_token(revoked)
    ask(agent, revoked)
    ask(agent, "nonsense")
    issuer.go_stale()
    ask(agent, good)
    ask(agent, good)
    issuer.advance(901)
    ask(agent, good)
    assert get("tocsin_agent_rejected_total", {"code": "token_revoked"}) == 1
    assert get("tocsin_agent_rejected_total", {"code": "segments"}) == 1
    assert get("tocsin_agent_accepted_unproven_total", {"code": "lease_lapsed"}) == 2
    assert get("tocsin_agent_stale_total", {"code": "lease_lapsed"}) == 1


def test_observe_mode_shows(issuer: LocalIssuer) -> None:
    agent = issuer.new_agent(observe=True)
    get = registry_of(agent).get_sample_value
    token = issuer.mint()
    issuer.revoke_token(token)
    ask(agent, token)
    issuer.go_stale()
    ask(agent, token)
    assert get("tocsin_agent_observes") == 1
    assert get("tocsin_agent_would_deny_total", {"code": "token_revoked"}) == 1
    assert get("tocsin_agent_would_deny_total", {"code": "stale"}) == 1


def test_no_label_holds_anything_of_a_token(issuer: LocalIssuer) -> None:
    """A flood of whatever anybody sends makes no new series."""
    agent = issuer.agent
    registry = registry_of(agent)
    for n in range(200):
        ask(agent, f"{n}." * n + "x")
        ask(agent, issuer.mint(sub=f"user-{n}", aud=f"aud-{n}", extra=f"extra-{n}"))
        ask(agent, LocalIssuer().mint() if n % 50 == 0 else issuer.mint(iss=f"https://{n}.test"))
    text = generate_latest(registry).decode()
    assert len([line for line in text.splitlines() if "_rejected_total{" in line]) <= 8
    for secret in ("user-", "aud-", "extra-", ".test", "eyJ"):
        assert secret not in text
