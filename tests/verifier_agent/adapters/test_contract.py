"""Every adapter gives the same answers."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import fields

import pytest

from tests.support.stack import Stack
from tests.verifier_agent.adapters import grpc_adapters, http_adapters
from tests.verifier_agent.adapters.conftest import Tokens
from tests.verifier_agent.adapters.contract import (
    Answer,
    Ask,
    cases,
    cases_of_a_stale_agent,
)
from tests.verifier_agent.adapters.faststream_adapter import faststream
from tocsin_verifier_agent import VerifierAgent

pytestmark = pytest.mark.asyncio(loop_scope="module")

ALL = frozenset(field.name for field in fields(Answer))
# What each protocol has a place for.
CARRIES = {
    "asgi": ALL,
    "fastapi": ALL,
    "wsgi": ALL,
    "grpc": frozenset({"status", "description", "challenge", "retry_after"}),
    "grpc.aio": frozenset({"status", "description", "challenge", "retry_after"}),
    "faststream": frozenset({"status", "description", "error"}),
}


def adapter(name: str, stack: Stack, agent: VerifierAgent) -> AbstractAsyncContextManager[Ask]:
    if name == "faststream":
        return faststream(stack, agent)
    return {
        "asgi": http_adapters.asgi,
        "fastapi": http_adapters.fastapi,
        "wsgi": http_adapters.wsgi,
        "grpc": grpc_adapters.grpc_sync,
        "grpc.aio": grpc_adapters.grpc_aio,
    }[name](agent)


def as_carried(name: str, answer: Answer) -> Answer:
    kept = {field: getattr(answer, field) for field in CARRIES[name]}
    return Answer(**kept)


@pytest.mark.parametrize("name", CARRIES)
async def test_a_live_agent(name: str, shared: Stack, live: VerifierAgent, tokens: Tokens) -> None:
    async with adapter(name, shared, live) as ask:
        got = {case: await ask(path, sent) for case, (path, sent, _) in cases(tokens).items()}
    expected = {case: as_carried(name, want) for case, (_, _, want) in cases(tokens).items()}
    assert got == expected


@pytest.mark.parametrize("name", CARRIES)
async def test_a_stale_agent(
    name: str, shared: Stack, stale: VerifierAgent, tokens: Tokens
) -> None:
    table = cases_of_a_stale_agent(tokens)
    async with adapter(name, shared, stale) as ask:
        got = {case: await ask(path, sent) for case, (path, sent, _) in table.items()}
    assert got == {case: as_carried(name, want) for case, (_, _, want) in table.items()}
