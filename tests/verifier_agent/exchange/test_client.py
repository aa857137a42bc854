"""Exchanged tokens are kept, shared, and never handed out once somebody would refuse them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tocsin_schemas import base64url, jws, strict_json
from tocsin_schemas.errors import (
    AgentStale,
    ExchangeRefused,
    ExchangeUnavailable,
    TocsinError,
    TokenRejected,
)
from tocsin_verifier_agent.exchange import ExchangeClient, ExchangedToken, client
from tocsin_verifier_agent.exchange.transport import Question
from tocsin_verifier_agent.testing import LocalExchange, LocalIssuer

ORDERS, INVENTORY = "orders", "inventory"


class Held(LocalExchange):
    """Answers when it is let go."""

    def __init__(self, issuer: LocalIssuer) -> None:
        super().__init__(issuer, "orders-service")
        self.reached = asyncio.Semaphore(0)
        self.let_go = asyncio.Event()
        self.let_go.set()

    async def exchange(self, question: Question) -> ExchangedToken:
        self.reached.release()
        answer = await super().exchange(question)
        await self.let_go.wait()
        return answer


@pytest.fixture
def issuer() -> LocalIssuer:
    return LocalIssuer(ORDERS)


@pytest.fixture
def transport(issuer: LocalIssuer) -> Held:
    return Held(issuer)


@pytest.fixture
async def exchange(issuer: LocalIssuer, transport: Held) -> AsyncIterator[ExchangeClient]:
    async with issuer.agent, ExchangeClient(issuer.agent, transport) as exchange:
        yield exchange


def claims(token: str) -> dict[str, Any]:
    return strict_json.loads_object(base64url.decode(jws.split(token)[1]))


async def code(exchange: ExchangeClient, token: str, **more: Any) -> str:
    try:
        await exchange.exchange(token, INVENTORY, **more)
    except TocsinError as error:
        return f"{type(error).__name__} {error.code}"
    return "exchanged"


# --- keeping ------------------------------------------------------------------------------------


async def test_a_token_is_asked_for_once(
    issuer: LocalIssuer, transport: Held, exchange: ExchangeClient
) -> None:
    token = issuer.mint(perms=["inventory:read", "inventory:write"])
    first = await exchange.exchange(token, INVENTORY)
    assert first.headers == {"Authorization": f"Bearer {first.token}"}
    assert claims(first.token)["aud"] == INVENTORY
    assert await exchange.exchange(token, INVENTORY) is first
    other = await exchange.exchange(token, "billing")
    less = await exchange.exchange(token, INVENTORY, ["inventory:read"])
    assert await exchange.exchange(token, INVENTORY, iter(["inventory:read"])) is less
    same = await exchange.exchange(issuer.mint(perms=["inventory:read"]), INVENTORY)
    assert transport.asked == [INVENTORY, "billing", INVENTORY, INVENTORY]
    assert len({first.token, other.token, less.token, same.token}) == 4
    assert less.scopes == {"inventory:read"}


async def test_it_is_renewed_shortly_before_it_expires(
    issuer: LocalIssuer, transport: Held, exchange: ExchangeClient
) -> None:
    token = issuer.mint(expires_in=3600)
    first = await exchange.exchange(token, INVENTORY)
    issuer.advance(269)
    assert await exchange.exchange(token, INVENTORY) is first
    issuer.advance(1)
    assert await exchange.exchange(token, INVENTORY) is not first
    assert len(transport.asked) == 2


async def test_what_dies_with_its_parent_is_kept_for_most_of_its_life(
    issuer: LocalIssuer, transport: Held, exchange: ExchangeClient
) -> None:
    token = issuer.mint(expires_in=20)
    first = await exchange.exchange(token, INVENTORY)
    assert first.expires_in == 20
    issuer.advance(14)
    assert await exchange.exchange(token, INVENTORY) is first
    issuer.advance(1)
    assert await exchange.exchange(token, INVENTORY) is not first


async def test_it_is_bounded(issuer: LocalIssuer, transport: Held) -> None:
    tokens = [issuer.mint() for _ in range(4)]
    async with issuer.agent, ExchangeClient(issuer.agent, transport, max_entries=3) as exchange:
        for token in tokens:
            await exchange.exchange(token, INVENTORY)
        for token in tokens[1:]:
            await exchange.exchange(token, INVENTORY)
        assert len(transport.asked) == 4
        await exchange.exchange(tokens[0], INVENTORY)
        assert len(transport.asked) == 5
        assert len(exchange._cache) == 3


# --- what was revoked ---------------------------------------------------------------------------

Kill = Callable[[LocalIssuer, str, str], None]
OF_THE_PARENT: dict[str, Kill] = {
    "jti": lambda issuer, parent, child: issuer.revoke_token(parent),
    "sid": lambda issuer, parent, child: issuer.revoke_session("s-1"),
    "sub": lambda issuer, parent, child: issuer.revoke_subject("alice"),
    "client": lambda issuer, parent, child: issuer.revoke_client("client.test"),
    "everything": lambda issuer, parent, child: issuer.revoke_everything(),
    "key": lambda issuer, parent, child: issuer.revoke_key(),
}


@pytest.mark.parametrize("kill", OF_THE_PARENT.values(), ids=OF_THE_PARENT)
async def test_nothing_is_handed_out_for_a_dead_parent(
    issuer: LocalIssuer, transport: Held, exchange: ExchangeClient, kill: Kill
) -> None:
    token = issuer.mint(sid="s-1")
    kept = await exchange.exchange(token, INVENTORY)
    kill(issuer, token, kept.token)
    with pytest.raises(TokenRejected):
        await exchange.exchange(token, INVENTORY)
    assert len(transport.asked) == 1, "nor is the issuer asked"


async def test_a_parent_in_the_middle_of_a_chain(
    issuer: LocalIssuer, exchange: ExchangeClient
) -> None:
    """The derived token names the first one alone; the agent knows its parent by itself."""
    first = issuer.mint()
    middle = issuer.mint(
        orig={"jti": claims(first)["jti"], "iat": claims(first)["iat"]}, act={"sub": "web"}
    )
    await exchange.exchange(middle, INVENTORY)
    issuer.revoke_token(middle)
    assert await code(exchange, middle) == "TokenRejected token_revoked"


async def test_an_exchanged_token_that_is_hit_itself_is_dropped(
    issuer: LocalIssuer, transport: Held, exchange: ExchangeClient
) -> None:
    token = issuer.mint()
    first = await exchange.exchange(token, INVENTORY)
    issuer.revoke_token(first.token)
    second = await exchange.exchange(token, INVENTORY)
    assert second.token != first.token
    assert await exchange.exchange(token, INVENTORY) is second
    issuer.revoke_client("orders-service")  # in its `act`, and not in the parent's
    assert issuer.agent.verify(token)
    assert await code(exchange, token) == "ExchangeUnavailable exchange_answer"
    assert await code(exchange, issuer.mint()) == "exchanged"
    assert len(transport.asked) == 4


@pytest.mark.parametrize("kill", OF_THE_PARENT.values(), ids=OF_THE_PARENT)
async def test_a_parent_that_dies_while_the_issuer_is_asked(
    issuer: LocalIssuer, transport: Held, exchange: ExchangeClient, kill: Kill
) -> None:
    token = issuer.mint(sid="s-1")
    transport.let_go.clear()
    waiting = asyncio.create_task(exchange.exchange(token, INVENTORY))
    await transport.reached.acquire()
    kill(issuer, token, "")
    transport.let_go.set()
    with pytest.raises(TokenRejected):
        await waiting


async def test_a_parent_that_expires(issuer: LocalIssuer, exchange: ExchangeClient) -> None:
    token = issuer.mint(expires_in=60)
    await exchange.exchange(token, INVENTORY)
    issuer.advance(91)
    assert await code(exchange, token) == "TokenRejected exp"


async def test_no_exchange_of_a_token_that_is_not_good_here(
    issuer: LocalIssuer, transport: Held, exchange: ExchangeClient
) -> None:
    assert await code(exchange, "nonsense") == "TokenRejected segments"
    assert await code(exchange, issuer.mint(aud="billing")) == "TokenRejected aud"
    assert await code(exchange, LocalIssuer(ORDERS).mint()) == "TokenRejected kid"
    assert transport.asked == []


# --- without a proof ----------------------------------------------------------------------------


async def test_a_stale_agent_hands_out_nothing(
    issuer: LocalIssuer, transport: Held, exchange: ExchangeClient
) -> None:
    token = issuer.mint()
    first = await exchange.exchange(token, INVENTORY)
    issuer.cut_off()
    issuer.advance(20)
    assert await code(exchange, token, max_staleness=15) == "AgentStale lease_lapsed"
    assert await exchange.exchange(token, INVENTORY) is first
    issuer.go_stale()
    with pytest.raises(AgentStale):
        await exchange.exchange(token, INVENTORY)
    assert len(transport.asked) == 1


@pytest.mark.parametrize("how", [{"on_stale": "accept"}, {"observe": True}])
async def test_where_the_agent_goes_on_only_the_issuers_fresh_word_counts(
    issuer: LocalIssuer, transport: Held, how: dict[str, Any]
) -> None:
    agent = issuer.new_agent(**how)
    async with agent, ExchangeClient(agent, transport) as exchange:
        token = issuer.mint()
        first = await exchange.exchange(token, INVENTORY)
        issuer.go_stale()
        second = await exchange.exchange(token, INVENTORY)
        third = await exchange.exchange(token, INVENTORY)
        assert len({first.token, second.token, third.token}) == 3
        assert len(transport.asked) == 3


async def test_what_observe_lets_pass_is_for_the_issuer_to_decide(
    issuer: LocalIssuer, transport: Held
) -> None:
    """It observes nothing: here it refuses, and nothing that was kept takes its place."""
    agent = issuer.new_agent(observe=True)
    async with agent, ExchangeClient(agent, transport) as exchange:
        token = issuer.mint(sid="s-1")
        await exchange.exchange(token, INVENTORY)
        issuer.revoke_session("s-1")
        transport.refusal = ExchangeRefused("invalid_request", "subject_token_invalid")
        assert await code(exchange, token) == "ExchangeRefused subject_token_invalid"


# --- together -----------------------------------------------------------------------------------


async def test_who_asks_for_the_same_at_one_time_asks_once(
    issuer: LocalIssuer, transport: Held, exchange: ExchangeClient
) -> None:
    token = issuer.mint()
    transport.let_go.clear()
    many = [asyncio.create_task(exchange.exchange(token, INVENTORY)) for _ in range(50)]
    other = asyncio.create_task(exchange.exchange(token, "billing"))
    for _ in range(2):
        await transport.reached.acquire()
    many[0].cancel()
    transport.let_go.set()
    answers = await asyncio.gather(*many[1:], other)
    assert many[0].cancelled()
    assert len({answer.token for answer in answers}) == 2
    assert transport.asked == [INVENTORY, "billing"]


async def test_each_who_waits_gets_an_error_of_its_own(
    issuer: LocalIssuer, transport: Held, exchange: ExchangeClient
) -> None:
    transport.refusal = ExchangeRefused("invalid_target", "invalid_target")
    token = issuer.mint()
    many = [exchange.exchange(token, INVENTORY) for _ in range(3)]
    errors = await asyncio.gather(*many, return_exceptions=True)
    assert len({id(error) for error in errors}) == 3
    for error in errors:
        assert isinstance(error, ExchangeRefused)
        assert (error.error, error.code) == ("invalid_target", "invalid_target")
    assert len(transport.asked) == 1
    transport.refusal = None
    assert await code(exchange, token) == "exchanged", "no refusal is kept"


async def test_a_bound_on_what_is_under_way(issuer: LocalIssuer, transport: Held) -> None:
    async with issuer.agent, ExchangeClient(issuer.agent, transport, max_under_way=1) as exchange:
        transport.let_go.clear()
        first = asyncio.create_task(exchange.exchange(issuer.mint(), INVENTORY))
        await transport.reached.acquire()
        assert await code(exchange, issuer.mint()) == "ExchangeUnavailable exchange_busy"
        transport.let_go.set()
        await first
        assert await code(exchange, issuer.mint()) == "exchanged"


async def test_an_issuer_that_does_not_answer(
    issuer: LocalIssuer,
    transport: Held,
    exchange: ExchangeClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "TIMEOUT_S", 0.05)
    transport.let_go.clear()
    token = issuer.mint()
    assert await code(exchange, token) == "ExchangeUnavailable exchange_failed"
    transport.let_go.set()
    assert await code(exchange, token) == "exchanged"


async def test_whoever_waits_when_it_closes_gets_an_answer(
    issuer: LocalIssuer, transport: Held
) -> None:
    async with issuer.agent:
        token = issuer.mint()
        async with ExchangeClient(issuer.agent, transport) as exchange:
            transport.let_go.clear()
            waiting = asyncio.create_task(code(exchange, token))
            await transport.reached.acquire()
        assert await waiting == "ExchangeUnavailable exchange_stopped"
        assert await code(exchange, token) == "ExchangeUnavailable exchange_stopped"


# --- what the issuer answers --------------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["audience", "subject", "signature", "both audiences"])
async def test_an_answer_to_another_question_is_not_handed_on(
    issuer: LocalIssuer, transport: Held, exchange: ExchangeClient, wrong: str
) -> None:
    elsewhere = LocalIssuer(ORDERS)
    answers = {
        "audience": issuer.mint(aud="billing"),
        "subject": issuer.mint("mallory", aud=INVENTORY),
        "signature": elsewhere.mint(aud=INVENTORY),
        "both audiences": issuer.mint(aud=[ORDERS, INVENTORY]),
    }

    async def answer(question: Question) -> ExchangedToken:
        return ExchangedToken(answers[wrong], frozenset(), 300)

    transport.exchange = answer  # type: ignore[method-assign]
    expected = "exchanged" if wrong == "both audiences" else "ExchangeUnavailable exchange_answer"
    assert await code(exchange, issuer.mint()) == expected, "the original may be passed on"


async def test_tokens_that_are_bound_to_certificates(
    issuer: LocalIssuer, transport: Held, exchange: ExchangeClient
) -> None:
    """The caller must have shown the one; the other is our own, which inventory will see."""
    callers, ours = base64url.encode(b"c" * 32), base64url.encode(b"o" * 32)

    async def answer(question: Question) -> ExchangedToken:
        transport.asked.append(question.audience)
        token = issuer.mint(aud=INVENTORY, cnf={"x5t#S256": ours})
        return ExchangedToken(token, frozenset(), 300)

    transport.exchange = answer  # type: ignore[method-assign]
    token = issuer.mint(cnf={"x5t#S256": callers})
    assert await code(exchange, token) == "TokenRejected certificate_missing"
    assert await code(exchange, token, certificate=ours) == "TokenRejected certificate_other"
    assert transport.asked == []
    for _ in range(2):
        assert await code(exchange, token, certificate=callers) == "exchanged"
    assert transport.asked == [INVENTORY]
    assert await code(exchange, token) == "TokenRejected certificate_missing"


async def test_no_token_in_a_log_or_an_error(
    issuer: LocalIssuer,
    transport: Held,
    exchange: ExchangeClient,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    token = issuer.mint()
    exchanged = await exchange.exchange(token, INVENTORY)
    transport.refusal = ExchangeUnavailable("exchange_failed")
    other = issuer.mint()
    with pytest.raises(ExchangeUnavailable) as caught:
        await exchange.exchange(other, INVENTORY)
    for secret in (token, other, exchanged.token):
        for text in (caplog.text, repr(exchanged), repr(caught.value), str(caught.value)):
            assert secret not in text
            assert secret.rpartition(".")[2] not in text
