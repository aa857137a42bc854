"""Schedules written by hand, for mutants that random ones would meet too seldom.

They need a wall clock that is set back by hours, after the agent has been live with the right time.
"""

from __future__ import annotations

from tests.simulator.invariants import Violation
from tests.support.agent import Agent
from tests.support.clock import NOW
from tests.support.tokens import AUDIENCE, ISSUER
from tocsin_revocation_bus.core.state import TokenFacts
from tocsin_schemas import jws, strict_json
from tocsin_schemas.base64url import decode
from tocsin_schemas.claims import rule_until
from tocsin_schemas.errors import AgentStale, TokenRejected
from tocsin_schemas.events import RevokedSession, RevokedToken, SessionsRevoked, TokensRevoked
from tocsin_verifier_agent.core.authority import LedgerAuthority
from tocsin_verifier_agent.core.token_verifier import TokenVerifier

LATER_S = 2 * 3600


def _revoked(agent: Agent) -> str:
    """A token that is revoked, and rejected because of it."""
    token = agent.mint()
    claims = strict_json.loads_object(decode(jws.split(token)[1]))
    rule = RevokedToken(claims["jti"], rule_until(claims["exp"]))
    agent.fold(TokensRevoked(id="e1", reason="test", initiator="admin", tokens=(rule,)))
    _must_reject(agent.code(token))
    return token


def _must_reject(code: str) -> None:
    if code == "accepted":
        raise Violation("I2", "a revoked token is accepted")


def _another_record(agent: Agent) -> None:
    sessions = (RevokedSession("somebody", NOW + 2 * LATER_S),)
    agent.fold(SessionsRevoked(id="e2", reason="test", initiator="admin", sessions=sessions))


def heartbeats_move_on_alone() -> None:
    """Two hours of heartbeats and no record; then the wall clock goes back to when it began."""
    agent = Agent()
    token = _revoked(agent)
    agent.clock.wall += LATER_S
    agent.beat()
    agent.clock.wall -= LATER_S
    _must_reject(agent.code(token))


def the_wall_clock_goes_back() -> None:
    """A record two hours on lets the rule go; then the wall clock goes back to when it began."""
    agent = Agent()
    token = _revoked(agent)
    agent.clock.wall += LATER_S
    _another_record(agent)
    agent.clock.wall -= LATER_S
    _must_reject(agent.code(token))


class _Interrupted:
    """Between the check of exp and the rules, the replica's own thread folds a record."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    @property
    def generation(self) -> int:
        return self._agent.replica.state.generation

    @property
    def horizon(self) -> int:
        return self._agent.replica.state.horizon

    def why_rejected(self, facts: TokenFacts) -> str | None:
        self._agent.clock.wall += LATER_S
        _another_record(self._agent)
        self._agent.clock.wall -= LATER_S
        return self._agent.replica.state.why_rejected(facts)


def a_rule_goes_while_a_token_is_verified() -> None:
    """The clock is two hours slow, and the record that lets the rule go arrives in between."""
    agent = Agent()
    token = _revoked(agent)
    verifier = TokenVerifier(
        LedgerAuthority(agent.replica, _Interrupted(agent)),
        audiences={ISSUER: frozenset([AUDIENCE])},
        lease_clock=agent.clock.now,
        wall_clock=agent.clock.utc,
    )
    try:
        verifier.verify(token)
    except (TokenRejected, AgentStale):
        return
    raise Violation("I2", "a revoked token is accepted")
