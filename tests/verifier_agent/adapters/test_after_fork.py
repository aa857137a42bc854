"""An agent for each process: when it is started, by whom, and what is said of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.stack import Stack
from tocsin_verifier_agent import VerifierAgent, wsgi
from tocsin_verifier_agent.adapters import after_fork
from tocsin_verifier_agent.testing import LocalIssuer


def test_that_it_was_not_live_is_said_again() -> None:
    issuer = LocalIssuer()
    agent = issuer.agent
    issuer.go_stale()
    keeper = after_fork.AfterFork(agent)
    try:
        assert (keeper.start(), keeper.start()) == (False, False)
    finally:
        agent.stop()


@pytest.mark.asyncio(loop_scope="module")
async def test_one_adapter_starts_an_agent(shared: Stack) -> None:
    agent = shared.agent()
    keeper = after_fork.AfterFork(agent)
    try:
        assert await asyncio.to_thread(keeper.start)
        assert await asyncio.to_thread(keeper.start)
        with pytest.raises(RuntimeError, match="running already"):
            after_fork.AfterFork(agent).start()
    finally:
        await asyncio.to_thread(agent.stop)


def test_several_adapters_share_an_agent_that_somebody_else_starts() -> None:
    issuer = LocalIssuer()
    agent: VerifierAgent = issuer.agent
    answers: list[str] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b""]

    agent.start()
    try:
        for _ in range(2):
            middleware: Any = wsgi.TocsinMiddleware(app, agent=agent, start_agent=False)
            environ = {"PATH_INFO": "/", "HTTP_AUTHORIZATION": f"Bearer {issuer.mint()}"}
            middleware(environ, lambda status, *_: answers.append(status))
    finally:
        agent.stop()
    assert answers == ["200 OK"] * 2
