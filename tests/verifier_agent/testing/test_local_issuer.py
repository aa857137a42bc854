"""What an embedder's tests stand on: a revocation hits what it should, and nothing else."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import distribution

import pytest
from fastapi import FastAPI, WebSocket
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from tests.support.agent import Agent
from tocsin_schemas.errors import AgentStale, TokenRejected
from tocsin_verifier_agent import VerifierAgent
from tocsin_verifier_agent.fastapi import TocsinMiddleware
from tocsin_verifier_agent.testing import ISSUER, LocalIssuer


def code(agent: VerifierAgent, token: str, max_staleness: float | None = None) -> str:
    try:
        agent.verify(token, max_staleness)
    except TokenRejected as rejected:
        return rejected.code
    except AgentStale as stale:
        return f"503 {stale.code}"
    return "accepted"


@pytest.fixture
def issuer() -> LocalIssuer:
    return LocalIssuer()


def test_what_a_token_says(issuer: LocalIssuer) -> None:
    token = issuer.mint(
        sub="bob", perms=["a", "b"], scope="c d", sid="s", client_id="web", tenant="t-1", nbf=None
    )
    verified = issuer.agent.verify(token)
    assert (
        verified.claims.items()
        >= {
            "iss": ISSUER,
            "sub": "bob",
            "client_id": "web",
            "sid": "s",
            "tenant": "t-1",
        }.items()
    )
    assert "nbf" not in verified.claims
    assert verified.allows("a", "b", "c", "d")
    assert (verified.unproven, verified.would_deny) == ("", "")


def test_only_its_own_agents_accept_what_it_mints(issuer: LocalIssuer) -> None:
    other = LocalIssuer()
    assert code(issuer.agent, issuer.mint()) == "accepted"
    assert code(other.agent, issuer.mint()) == "kid"
    assert Agent().code(issuer.mint()) == "kid"


def test_a_token_expires(issuer: LocalIssuer) -> None:
    token = issuer.mint(expires_in=60)
    issuer.advance(89)  # 30 seconds of leeway
    assert code(issuer.agent, token) == "accepted"
    issuer.advance(1)
    assert code(issuer.agent, token) == "exp"


REVOCATIONS: dict[str, Callable[[LocalIssuer], None]] = {
    "subject_revoked": lambda issuer: issuer.revoke_subject("alice"),
    "client_revoked": lambda issuer: issuer.revoke_client("web"),
    "all_revoked": lambda issuer: issuer.revoke_everything(),
    "key_revoked": lambda issuer: issuer.revoke_key(),
}


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.999_999, 0.999_999_999])
@pytest.mark.parametrize("expected", REVOCATIONS)
def test_a_cutoff_hits_every_earlier_token_and_none_later(
    issuer: LocalIssuer, expected: str, fraction: float
) -> None:
    issuer.advance(fraction)
    older = issuer.mint(client_id="web")
    for _ in range(8):
        earlier = issuer.mint(client_id="web")
        REVOCATIONS[expected](issuer)
        later = issuer.mint(client_id="web")
        assert [code(issuer.agent, one) for one in (older, earlier, later)] == [
            expected,
            expected,
            "accepted",
        ]


def test_a_revocation_spares_what_it_does_not_name(issuer: LocalIssuer) -> None:
    others = [issuer.mint(sub="bob", sid="s-2", client_id="cli") for _ in range(2)]
    token, sibling = issuer.mint(sid="s-1"), issuer.mint(sid="s-1")
    issuer.revoke_token(token)
    assert [code(issuer.agent, one) for one in (token, sibling)] == ["token_revoked", "accepted"]
    issuer.revoke_session("s-1")
    assert code(issuer.agent, sibling) == "session_revoked"
    assert code(issuer.agent, issuer.mint(sid="s-1")) == "session_revoked"
    issuer.revoke_subject("alice")
    issuer.revoke_client("client.test")
    assert [code(issuer.agent, one) for one in others] == ["accepted", "accepted"]


def test_a_rotation_leaves_older_tokens_good(issuer: LocalIssuer) -> None:
    tokens = [issuer.mint()]
    for _ in range(3):
        issuer.rotate_key()
        tokens.append(issuer.mint())
    assert len({one.split(".")[0] for one in tokens}) == 4
    assert {code(issuer.agent, one) for one in tokens} == {"accepted"}
    issuer.revoke_key()
    assert [code(issuer.agent, one) for one in tokens] == ["accepted"] * 3 + ["key_revoked"]


def test_an_outage_and_what_was_missed_in_it(issuer: LocalIssuer) -> None:
    token, other = issuer.mint(), issuer.mint(sub="bob")
    issuer.cut_off()
    issuer.revoke_token(token)
    assert code(issuer.agent, token) == "accepted"
    issuer.advance(120)
    assert code(issuer.agent, other) == "accepted"
    assert code(issuer.agent, other, max_staleness=119) == "503 lease_lapsed"
    issuer.advance(0.001)
    assert code(issuer.agent, other) == "503 lease_lapsed"
    issuer.come_back()
    assert [code(issuer.agent, one) for one in (token, other)] == ["token_revoked", "accepted"]


def test_a_year_passes(issuer: LocalIssuer) -> None:
    """Keysets end after 90 days at most, so this one is renewed in time."""
    issuer.revoke_session("s-1")
    for _ in range(12):
        issuer.advance(31 * 24 * 3600)
        assert code(issuer.agent, issuer.mint()) == "accepted"
    issuer.go_stale()
    issuer.advance(100 * 24 * 3600)
    assert code(issuer.agent, issuer.mint()) == "503 keyset_expired"
    issuer.come_back()
    assert code(issuer.agent, issuer.mint()) == "accepted"


def test_several_services_of_one_issuer() -> None:
    issuer = LocalIssuer("orders.test")
    inventory = issuer.new_agent("inventory.test")
    short = issuer.new_agent(max_lease_ms=1000)
    token = issuer.mint()
    assert [code(one, token) for one in (issuer.agent, inventory)] == ["accepted", "aud"]
    both = issuer.mint(aud=["orders.test", "inventory.test"])
    issuer.revoke_token(token)
    assert [code(one, both) for one in (issuer.agent, inventory)] == ["accepted", "accepted"]
    assert code(short, token) == "token_revoked"
    issuer.cut_off()
    issuer.advance(2)
    assert [code(one, both) for one in (issuer.agent, short)] == ["accepted", "503 lease_lapsed"]


def test_time_does_not_pass_backwards(issuer: LocalIssuer) -> None:
    for seconds in (-1, float("nan")):
        with pytest.raises(ValueError, match="backwards"):
            issuer.advance(seconds)


# --- long-lived connections ---------------------------------------------------------------------


def service(agent: VerifierAgent) -> FastAPI:
    app = FastAPI()
    app.add_middleware(TocsinMiddleware, agent=agent)

    @app.websocket("/talk")
    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        while True:
            await socket.send_text(await socket.receive_text())

    return app


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (lambda issuer: issuer.revoke_session("s-1"), 1008),
        (lambda issuer: issuer.advance(631), 1008),
        (lambda issuer: issuer.go_stale(), 1013),
    ],
    ids=["revoked", "expired", "stale"],
)
def test_a_websocket_ends(
    issuer: LocalIssuer, end: Callable[[LocalIssuer], None], expected: int
) -> None:
    headers = {"Authorization": f"Bearer {issuer.mint(sid='s-1')}"}
    with (
        TestClient(service(issuer.agent)) as client,
        client.websocket_connect("/talk", headers=headers) as socket,
    ):
        socket.send_text("hello")
        assert socket.receive_text() == "hello"
        end(issuer)
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
    assert closed.value.code == expected


async def test_in_an_event_loop_and_more_than_once(issuer: LocalIssuer) -> None:
    agent, token = issuer.agent, issuer.mint()
    for _ in range(2):
        async with agent:
            assert agent.status().state.value == "live"
            refused = asyncio.create_task(agent.until_refused(token))
            await asyncio.sleep(0.05)
            assert not refused.done()
            issuer.cut_off()
            issuer.advance(121)
            async with asyncio.timeout(5):
                assert isinstance(await refused, AgentStale)
            issuer.come_back()


def test_with_a_thread_of_its_own(issuer: LocalIssuer) -> None:
    assert issuer.agent.start()
    try:
        token = issuer.mint()
        assert issuer.agent.authenticate_blocking(token).subject == "alice"
        issuer.revoke_everything()
        assert code(issuer.agent, token) == "all_revoked"
    finally:
        issuer.agent.stop()


# --- it stays out of the way --------------------------------------------------------------------


def test_nothing_loads_it_that_was_not_told_to() -> None:
    points = distribution("tocsin-verifier-agent").entry_points
    assert [point for point in points if point.group == "pytest11"] == []
    program = (
        "import sys, tocsin_verifier_agent, tocsin_verifier_agent.fastapi\n"
        "print([name for name in sys.modules if name.startswith(('pytest', '_pytest')) "
        "or name.startswith('tocsin_verifier_agent.testing')])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert found.stdout.strip() == "[]", found.stderr
