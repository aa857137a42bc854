"""Whatever kills a token kills what comes of it, and it is traded no more."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tests.issuer.http.conftest import SIGNER, Issuer
from tests.issuer.http.exchange_services import (
    Services,
    log_in,
    open_services,
    refused,
)
from tocsin_issuer.store import names
from tocsin_issuer.store.lineage import Lineage
from tocsin_revocation_bus.core.state import State
from tocsin_schemas.record import Record
from tocsin_schemas.token_exchange import ACCESS_TOKEN_TYPE
from tocsin_verifier_agent.core.claims_check import facts_from


@pytest.fixture
async def services(issuer: Issuer) -> AsyncIterator[Services]:
    async with open_services(issuer) as services:
        yield services


@pytest.fixture
async def subject(issuer: Issuer) -> dict[str, Any]:
    return await log_in(issuer)


Kill = Callable[[Services, dict[str, Any]], Awaitable[object]]

KILLS: dict[str, Kill] = {
    "jti": lambda s, c: s.revocations.revoke_tokens([(c["jti"], c["exp"])], "test", "admin"),
    "sid": lambda s, c: s.revocations.revoke_sessions([c["sid"]], "test", "admin", bound_s=1),
    "sub": lambda s, c: s.cutoffs.subject(c["sub"], "test", "admin"),
    "client": lambda s, c: s.cutoffs.client("first-party", "test", "admin"),
    "all": lambda s, c: s.cutoffs.everything("test", "admin"),
}


async def rules(services: Services) -> State:
    """What a verifier knows that has applied everything."""
    state = State()
    entries = await services.issuer.outbox.read(100)
    events = tuple(event for entry in entries for event in entry.events)
    state.fold(
        Record(
            iss="",
            iat=0,
            txn="",
            term=1,
            n=1,
            prev="",
            events=events,
            unknown=(),
            hash="",
            text="",
        )
    )
    return state


async def code_of(services: Services, token: str) -> str | None:
    verified = services.issuer.of_any_audience.verify(token)
    return (await rules(services)).why_rejected(
        facts_from(SIGNER.kid, verified.token, own_jti=True)
    )


@pytest.mark.parametrize("kill", KILLS.values(), ids=KILLS)
async def test_a_revoked_token_is_not_traded_though_the_replica_lags(
    services: Services, subject: dict[str, Any], kill: Kill
) -> None:
    """The verifier behind the endpoint knows no rule here: it still finds the token good."""
    middle = await services.trade(subject["access_token"])
    await kill(services, services.claims(subject["access_token"]))
    for token, service, audience in (
        (subject["access_token"], "orders-service", "inventory"),
        (middle, "inventory-service", "warehouse"),
    ):
        assert services.claims(token)
        answer = await services.ask(token, service, audience=audience)
        assert await refused(answer) == (400, "invalid_request")


@pytest.mark.parametrize("kill", [name for name in KILLS if name != "sid"])
async def test_a_revoked_token_without_a_session(services: Services, kill: str) -> None:
    """Of which no session says that it is over."""
    minted = await services.minter.mint("bob", "first-party", ["orders", "search"])
    derived = await services.trade(minted.token)
    await KILLS[kill](services, services.claims(minted.token))
    for token, service, audience in (
        (minted.token, "orders-service", "inventory"),
        (minted.token, "orders-service", "search"),
        (derived, "inventory-service", "warehouse"),
    ):
        answer = await services.ask(token, service, audience=audience)
        assert await refused(answer) == (400, "invalid_request")


@pytest.mark.parametrize("kill", KILLS.values(), ids=KILLS)
async def test_what_was_derived_before_dies_too(
    services: Services, subject: dict[str, Any], kill: Kill
) -> None:
    child = await services.trade(subject["access_token"])
    grandchild = await services.trade(child, "inventory-service", audience="warehouse")
    for token in (child, grandchild):
        assert await code_of(services, token) is None
    await kill(services, services.claims(subject["access_token"]))
    for token in (subject["access_token"], child, grandchild):
        assert await code_of(services, token) is not None


async def test_a_client_in_the_middle_is_cut_off(
    services: Services, subject: dict[str, Any]
) -> None:
    child = await services.trade(subject["access_token"])
    await services.cutoffs.client("orders-service", "test", "admin")
    answer = await services.ask(child, "inventory-service", audience="warehouse")
    assert await refused(answer) == (400, "invalid_request")


async def test_a_middle_token_that_is_revoked_is_not_traded(
    services: Services, subject: dict[str, Any]
) -> None:
    """What had been derived from it before goes on until its own end, or that of all of them."""
    child = await services.trade(subject["access_token"])
    grandchild = await services.trade(child, "inventory-service", audience="warehouse")
    claims = services.claims(child)
    await services.revocations.revoke_tokens([(claims["jti"], claims["exp"])], "test", "admin")
    answer = await services.ask(child, "inventory-service", audience="warehouse")
    assert await refused(answer) == (400, "invalid_request")
    await services.trade(subject["access_token"])
    assert await code_of(services, grandchild) is None
    first = services.claims(subject["access_token"])
    left = services.claims(grandchild)["exp"] - services.claims(grandchild)["iat"]
    assert left <= min(600, first["exp"] - first["iat"])
    await KILLS["sid"](services, first)
    assert await code_of(services, grandchild) is not None


async def test_a_token_by_a_key_that_is_revoked_is_not_traded(
    services: Services, subject: dict[str, Any]
) -> None:
    """Though the revocation waits in the outbox, and the replica takes the key for good."""
    child = await services.trade(subject["access_token"])
    await services.context.keys.revoke(SIGNER.kid)
    for token, service, audience in (
        (subject["access_token"], "orders-service", "inventory"),
        (child, "inventory-service", "warehouse"),
    ):
        answer = await services.ask(token, service, audience=audience)
        assert await refused(answer) == (400, "invalid_request")


ACTOR_KILLS: dict[str, Kill] = {
    "jti": KILLS["jti"],
    "sub": KILLS["sub"],
    "client": lambda s, c: s.cutoffs.client(c["client_id"], "test", "admin"),
    "all": KILLS["all"],
    "expired": lambda s, c: s.issuer.redis.delete(names.REGISTER + c["jti"]),
}


@pytest.mark.parametrize("kill", ACTOR_KILLS.values(), ids=ACTOR_KILLS)
@pytest.mark.parametrize("audience", ["inventory", "search"])
async def test_an_actor_token_that_is_revoked_shows_nothing(
    services: Services, kill: Kill, audience: str
) -> None:
    """Be a token issued, or the caller's own handed back."""
    own = await services.client_token("orders-service")
    await kill(services, services.claims(own))
    subject = (await services.minter.mint("bob", "orders-service", ["orders", "search"])).token
    more = {"audience": audience, "actor_token": own, "actor_token_type": ACCESS_TOKEN_TYPE}
    answer = await services.ask(subject, **more)
    assert (answer.status_code, answer.json().get("code")) == (400, "actor_token_invalid")
    more["actor_token"] = await services.client_token("orders-service")
    await services.trade(subject, **more)


async def test_accounts_that_are_disabled(services: Services, subject: dict[str, Any]) -> None:
    child = await services.trade(subject["access_token"])
    await services.issuer.clients.set_disabled("orders-service", True)
    answer = await services.ask(child, "inventory-service", audience="warehouse")
    assert await refused(answer) == (400, "invalid_request"), "an actor of the chain"
    await services.issuer.clients.set_disabled("orders-service", False)
    await services.issuer.redis.hset(names.USER + services.claims(child)["sub"], "disabled", "1")
    assert await refused(await services.ask(subject["access_token"])) == (400, "invalid_request")


async def test_a_new_login_is_traded_after_a_cutoff(
    services: Services, subject: dict[str, Any]
) -> None:
    await KILLS["sub"](services, services.claims(subject["access_token"]))
    await KILLS["all"](services, {})
    child = await services.trade((await services.issuer.login())["access_token"])
    assert await code_of(services, child) is None


async def test_a_family_that_ended_is_not_traded_for(
    services: Services, subject: dict[str, Any]
) -> None:
    """After a change of primary nobody knows what was lost: everybody logs in anew."""
    await Lineage(services.issuer.redis).end_all_families()
    assert await refused(await services.ask(subject["access_token"])) == (400, "invalid_request")


async def test_no_token_in_any_log(
    services: Services, subject: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    child = await services.trade(subject["access_token"])
    await services.ask(subject["access_token"], audience="nowhere")
    await services.ask(child[:-4] + "AAAA")
    for token in (subject["access_token"], child, services.secrets["orders-service"]):
        assert token not in caplog.text
        assert token.rpartition(".")[2] not in caplog.text
