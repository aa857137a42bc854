"""Tokens that are bound to a certificate (RFC 8705 section 3): with that one, or not at all."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import orjson
import pytest

from tests.support.agent import Agent
from tests.support.forge import b64, token
from tests.support.ledger import TOKEN_KEY, revoke_token
from tests.support.tokens import claims, own_jti
from tests.verifier_agent.core.test_foreign_token import claims_of
from tocsin_schemas.confirmation import thumbprint
from tocsin_schemas.errors import AgentStale, TokenRejected
from tocsin_schemas.issuer_profile import PROFILES
from tocsin_verifier_agent import VerifierAgent
from tocsin_verifier_agent.core import access_token, foreign_token
from tocsin_verifier_agent.core.confirmation import NOT_USED, Certificate, PeerCertificate
from tocsin_verifier_agent.core.leniency import OnStale
from tocsin_verifier_agent.testing import LocalIssuer

MINE, OTHERS = b"my certificate", b"another's"
BOUND = {"x5t#S256": b64(sha256(MINE).digest())}


def code(agent: Agent, text: str, certificate: Certificate = None) -> str:
    try:
        agent.verifier.verify(text, certificate=certificate)
    except TokenRejected as rejected:
        return rejected.code
    return "accepted"


def test_a_thumbprint_is_that_of_the_rfc() -> None:
    assert thumbprint(MINE) == BOUND["x5t#S256"]


def test_a_bound_token_needs_its_certificate_each_time() -> None:
    agent = Agent()
    text = agent.mint(cnf=BOUND)
    assert code(agent, text) == "certificate_missing"
    assert code(agent, text, OTHERS) == "certificate_other"
    for _ in range(2):  # the second time from the cache
        assert code(agent, text, MINE) == "accepted"
        assert code(agent, text, thumbprint(MINE)) == "accepted"
    assert len(agent.cache) == 1
    assert code(agent, text) == "certificate_missing"
    assert code(agent, text, OTHERS) == "certificate_other"
    assert code(agent, text, "") == "certificate_other"
    agent.fold(revoke_token(own_jti()))  # and after another look at it
    assert code(agent, text, OTHERS) == "certificate_other"
    assert code(agent, text, MINE) == "accepted"


def test_who_asks_about_a_token_need_not_be_its_holder() -> None:
    agent = Agent()
    assert code(agent, agent.mint(cnf=BOUND), NOT_USED) == "accepted"


def test_a_token_that_is_bound_to_nothing_may_come_with_any_certificate() -> None:
    agent = Agent()
    assert code(agent, agent.mint(), OTHERS) == "accepted"


def test_what_it_is_bound_to_can_be_read() -> None:
    agent = Agent()
    verified = agent.verifier.verify(agent.mint(cnf=BOUND), certificate=MINE)
    assert verified.bound_to == BOUND["x5t#S256"]
    assert agent.verify(agent.mint()).bound_to is None


def test_a_bound_token_of_our_issuer_takes_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the strict parser was asked")

    payload = orjson.dumps(claims(cnf=BOUND), option=orjson.OPT_SORT_KEYS)
    monkeypatch.setattr("tocsin_schemas.strict_json.loads_object", never)
    read = access_token.read(payload)
    assert isinstance(read.cnf, access_token.Confirmation)
    assert read.cnf.x5t_s256 == thumbprint(MINE)


UNCHECKABLE: dict[str, Any] = {
    "empty": {},
    "null": [None],
    "a string": thumbprint(MINE),
    "an array": [BOUND],
    "a key's thumbprint": {"jkt": thumbprint(MINE)},
    "a key": {"jwk": {"kty": "EC"}},
    "a kid": {"kid": "k"},
    "a key besides": {**BOUND, "jkt": thumbprint(MINE)},
    "something unknown besides": {**BOUND, "x5t": "a"},
    "a SHA-1": {"x5t": thumbprint(MINE)},
    "too short": {"x5t#S256": thumbprint(MINE)[:-1]},
    "padded": {"x5t#S256": thumbprint(MINE) + "="},
    "with a line end": {"x5t#S256": thumbprint(MINE) + "\n"},
    "no string": {"x5t#S256": 1},
    "null inside": {"x5t#S256": None},
}


@pytest.mark.parametrize("name", UNCHECKABLE)
def test_what_cannot_be_checked_is_refused(name: str) -> None:
    """Whoever shows what: a binding that nobody checks would be none."""
    agent, cnf = Agent(), UNCHECKABLE[name]
    members = claims()
    members["cnf"] = None if name == "null" else cnf
    for certificate in (None, MINE, NOT_USED):
        assert code(agent, token(TOKEN_KEY, members), certificate) == "cnf"


@pytest.mark.parametrize("cnf", [{"jkt": "a" * 43}, {}, {**BOUND, "jkt": "a" * 43}])
def test_a_foreign_token_bound_to_a_key_is_no_bearer_token(cnf: object) -> None:
    with pytest.raises(TokenRejected) as refused:
        foreign_token.read(PROFILES["keycloak"], "jwt", claims_of("keycloak", cnf=cnf))
    assert refused.value.code == "cnf"


def test_a_foreign_token_bound_to_a_certificate_stays_so() -> None:
    read = foreign_token.read(PROFILES["keycloak"], "jwt", claims_of("keycloak", cnf=BOUND))
    assert isinstance(read.cnf, access_token.Confirmation)


# --- without a proof, and in observe mode -------------------------------------------------------


@pytest.fixture
def issuer() -> LocalIssuer:
    return LocalIssuer()


def said(
    agent: VerifierAgent,
    text: str,
    certificate: PeerCertificate,
    on_stale: OnStale | None = None,
) -> str:
    try:
        verified = agent.verify(text, None, on_stale, certificate)
    except TokenRejected as rejected:
        return rejected.code
    except AgentStale as stale:
        return f"503 {stale.code}"
    return f"accepted {verified.unproven}{verified.would_deny}".strip()


def test_without_a_lease_the_binding_still_holds(issuer: LocalIssuer) -> None:
    text = issuer.mint(expires_in=3600, cnf=BOUND)
    issuer.go_stale()
    assert said(issuer.agent, text, MINE, "accept") == "accepted lease_lapsed"
    assert said(issuer.agent, text, OTHERS, "accept") == "certificate_other"
    assert said(issuer.agent, text, None, "accept") == "certificate_missing"


def test_observe_mode_enforces_it_for_it_is_a_claim(issuer: LocalIssuer) -> None:
    """Neither a revocation that would deny nor the want of a lease lets another one in."""
    observing = issuer.new_agent(observe=True)
    text, revoked = issuer.mint(expires_in=3600, cnf=BOUND), issuer.mint(cnf=BOUND)
    issuer.revoke_token(revoked)
    assert said(observing, text, None) == "certificate_missing"
    assert said(observing, revoked, MINE) == "accepted token_revoked"
    assert said(observing, revoked, OTHERS) == "certificate_other"
    issuer.go_stale()
    assert said(observing, text, MINE) == "accepted stale"
    assert said(observing, text, OTHERS) == "certificate_other"
    meters = observing.meters.snapshot()
    assert meters["rejected"] == {"certificate_missing": 1, "certificate_other": 2}
    assert meters["would_deny"] == {"token_revoked": 1, "stale": 1}


async def test_a_connection_is_watched_with_its_certificate(issuer: LocalIssuer) -> None:
    text = issuer.mint(cnf=BOUND)
    async with issuer.agent:
        refusal = await issuer.agent.until_refused(text, None, None, OTHERS)
        assert refusal.code == "certificate_other"
        issuer.revoke_token(text)
        refusal = await issuer.agent.until_refused(text, None, None, MINE)
        assert refusal.code == "token_revoked"


def test_no_certificate_is_told(issuer: LocalIssuer) -> None:
    with pytest.raises(TokenRejected) as refused:
        issuer.agent.verify(issuer.mint(cnf=BOUND), certificate=OTHERS)
    assert str(refused.value) == "the access token is not valid"
