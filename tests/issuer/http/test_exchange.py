"""Token exchange by RFC 8693: who may trade what for what."""

import os
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.issuer.http.conftest import ISS, SIGNER, Issuer
from tests.issuer.http.exchange_services import (
    FORM,
    Services,
    log_in,
    open_services,
    refused,
)
from tocsin_issuer.core.jti_allocator import JtiAllocator
from tocsin_issuer.exchange import policy
from tocsin_issuer.store.register import Registration
from tocsin_issuer.store.shown_token import issued_digest
from tocsin_schemas import jws
from tocsin_schemas.claims import ACCESS_TOKEN_TYP
from tocsin_schemas.token_exchange import ACCESS_TOKEN_TYPE, GRANT_TYPE, JWT_TYPE
from tocsin_verifier_agent.core import access_token


@pytest.fixture
async def services(issuer: Issuer) -> AsyncIterator[Services]:
    async with open_services(issuer) as services:
        yield services


@pytest.fixture
async def subject(issuer: Issuer) -> dict[str, Any]:
    return await log_in(issuer)


# --- what is issued ---------------------------------------------------------------------------


async def test_the_answer_and_the_token(services: Services, subject: dict[str, Any]) -> None:
    parent = services.claims(subject["access_token"])
    answer = await services.ask(subject["access_token"])
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    members = answer.json()
    child = services.claims(members.pop("access_token"))
    assert members == {
        "issued_token_type": ACCESS_TOKEN_TYPE,
        "token_type": "Bearer",
        "expires_in": 300,
        "scope": "inventory:read",
    }
    assert child == {
        "iss": ISS,
        "sub": parent["sub"],
        "aud": "inventory",
        "client_id": "orders-service",
        "iat": child["iat"],
        "nbf": child["iat"],
        "exp": child["iat"] + 300,
        "jti": child["jti"],
        "sid": parent["sid"],
        "scope": "inventory:read",
        "act": {"sub": "orders-service", "act": {"sub": "first-party"}},
        "orig": {"jti": parent["jti"], "iat": parent["iat"]},
    }
    assert child["jti"] != parent["jti"]


async def test_a_chain_keeps_its_origin_and_every_actor(
    services: Services, subject: dict[str, Any]
) -> None:
    first = services.claims(subject["access_token"])
    middle = await services.trade(subject["access_token"])
    last = services.claims(await services.trade(middle, "inventory-service", audience="warehouse"))
    assert last["act"] == {
        "sub": "inventory-service",
        "act": {"sub": "orders-service", "act": {"sub": "first-party"}},
    }
    assert last["orig"] == {"jti": first["jti"], "iat": first["iat"]}
    assert (last["sid"], last["sub"]) == (first["sid"], first["sub"])
    assert last["exp"] <= services.claims(middle)["exp"]


async def test_it_never_outlives_the_subject_token(services: Services) -> None:
    short = await services.minter.mint("loop-service", "loop-service", ["orders"], life_s=100)
    child = services.claims(await services.trade(short.token))
    assert child["exp"] == short.exp
    long = await services.minter.mint("loop-service", "loop-service", ["orders"], life_s=3600)
    child = services.claims(await services.trade(long.token, audience="audit"))
    assert child["exp"] - child["iat"] == 600
    assert "sid" not in child


async def test_a_client_that_trades_its_own_token_is_named_once(services: Services) -> None:
    child = services.claims(await services.trade(await services.client_token("orders-service")))
    assert child["act"] == {"sub": "orders-service"}


async def test_a_chain_has_an_end(services: Services, subject: dict[str, Any]) -> None:
    """As many actors as verifiers read: a longer chain would make a token that nobody accepts."""
    token = subject["access_token"]
    for _ in range(access_token.MAX_ACTORS - 1):
        token = await services.trade(token, "loop-service", audience="loop")
        services.claims(token)
    answer = await services.ask(token, "loop-service", audience="loop")
    assert await refused(answer) == (400, "invalid_request")


async def test_by_resource_as_well_as_by_audience(
    services: Services, subject: dict[str, Any]
) -> None:
    resource = "https://inventory.internal/"
    for more in ({"audience": ""}, {}):
        token = await services.trade(subject["access_token"], resource=resource, **more)
        assert services.claims(token)["aud"] == "inventory"


async def test_the_scope_that_is_asked_for(services: Services, subject: dict[str, Any]) -> None:
    ask = services.ask
    token = subject["access_token"]
    assert (await ask(token, scope="inventory:read")).json()["scope"] == "inventory:read"
    for scope in ("inventory:write", "orders:read", "inventory:read x", "billing:read", " "):
        assert await refused(await ask(token, scope=scope)) == (400, "invalid_scope"), scope
    assert "scope" not in services.claims(await services.trade(token, audience="audit"))


async def test_the_types_that_our_tokens_have(services: Services, subject: dict[str, Any]) -> None:
    for more in (
        {"subject_token_type": JWT_TYPE},
        {"requested_token_type": ACCESS_TOKEN_TYPE},
        {
            "actor_token": await services.client_token("orders-service"),
            "actor_token_type": JWT_TYPE,
        },
    ):
        await services.trade(subject["access_token"], **more)


async def test_the_original_token_where_it_may_be_passed_on(services: Services) -> None:
    minted = await services.minter.mint(
        "loop-service", "loop-service", ["orders", "search"], scope="search:read search:write"
    )
    before = await services.issuer.redis.dbsize()
    answer = (await services.ask(minted.token, audience="search")).json()
    assert await services.issuer.redis.dbsize() == before, "nothing is registered for it"
    assert answer["access_token"] == minted.token
    assert answer["scope"] == "search:read search:write"
    assert minted.expires_in - 5 < answer["expires_in"] <= minted.expires_in
    less = await services.ask(minted.token, audience="search", scope="search:read")
    claims = services.claims(less.json()["access_token"])
    assert (claims["aud"], claims["scope"]) == ("search", "search:read")
    other = services.claims(
        await services.trade(await services.client_token("loop-service"), audience="search")
    )
    assert other["aud"] == "search", "a token that is not for it is never passed on"


async def test_no_token_is_passed_on_where_the_policy_does_not_say_so(services: Services) -> None:
    """Not even one that the target would accept."""
    minted = await services.minter.mint(
        "loop-service", "loop-service", ["orders", "inventory"], scope="inventory:read"
    )
    token = await services.trade(minted.token)
    assert token != minted.token
    assert services.claims(token)["aud"] == "inventory"


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"subject_token": ""}, "invalid_request"),
        ({"subject_token": "nonsense"}, "invalid_request"),
        ({"subject_token": "\N{LATIN SMALL LETTER E WITH ACUTE}"}, "invalid_request"),
        ({"subject_token": "a" * 8193}, "invalid_request"),
        ({"subject_token_type": ""}, "invalid_request"),
        ({"subject_token_type": "access_token"}, "invalid_request"),
        ({"subject_token_type": JWT_TYPE.replace("jwt", "id_token")}, "invalid_request"),
        ({"requested_token_type": JWT_TYPE}, "invalid_request"),
        ({"actor_token": "x"}, "invalid_request"),
        ({"actor_token_type": ACCESS_TOKEN_TYPE}, "invalid_request"),
        ({"actor_token": "x", "actor_token_type": ACCESS_TOKEN_TYPE}, "invalid_request"),
        ({"actor_token": "x", "actor_token_type": "x"}, "invalid_request"),
        ({"audience": ""}, "invalid_request"),
        ({"audience": "orders"}, "invalid_target"),
        ({"audience": "warehouse"}, "invalid_target"),
        ({"audience": "inventory audit"}, "invalid_target"),
        ({"resource": "https://inventory.internal"}, "invalid_target"),
        ({"audience": "audit", "resource": "https://inventory.internal/"}, "invalid_target"),
        ({"audience": "", "resource": "inventory"}, "invalid_target"),
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token"}, "unsupported_grant_type"),
    ],
)
async def test_requests_that_are_refused(
    services: Services, subject: dict[str, Any], change: dict[str, str], error: str
) -> None:
    answer = await services.ask(**{"token": subject["access_token"], **change})
    assert await refused(answer) == (400, error)
    assert "nonsense" not in answer.text


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ("&audience=inventory&audience=audit", "invalid_target"),
        ("&audience=inventory&audience=inventory", "invalid_target"),
        ("&resource=https://a.example/&resource=https://b.example/", "invalid_target"),
        ("&audience=inventory&scope=inventory:read&scope=inventory:write", "invalid_request"),
        ("&audience=inventory&audience=audit&scope=a&scope=b", "invalid_request"),
        ("&subject_token=b", "invalid_request"),
    ],
)
async def test_no_parameter_stands_twice(services: Services, more: str, error: str) -> None:
    """RFC 8693 section 2.1 allows several targets, and an issuer to refuse them."""
    body = f"grant_type={GRANT_TYPE}&subject_token=a&subject_token_type={ACCESS_TOKEN_TYPE}{more}"
    answer = await services.http.post(
        "/oauth/token",
        content=body,
        headers=FORM,
        auth=("orders-service", services.secrets["orders-service"]),
    )
    assert await refused(answer) == (400, error)


async def test_who_may_ask(services: Services, subject: dict[str, Any]) -> None:
    token = subject["access_token"]
    assert await refused(await services.ask(token, "stranger", audience="inventory")) == (
        400,
        "unauthorized_client",
    )
    services.secrets["orders-service"] = "wrong"
    assert await refused(await services.ask(token)) == (401, "invalid_client")
    form = {"grant_type": GRANT_TYPE, "subject_token": token, "client_id": "orders-service"}
    answer = await services.http.post("/oauth/token", data=form)
    assert await refused(answer) == (401, "invalid_client")


async def test_nothing_is_allowed_unless_it_is_named(
    services: Services, subject: dict[str, Any]
) -> None:
    services.policy = policy.NOTHING_ALLOWED
    answer = await services.ask(subject["access_token"])
    assert await refused(answer) == (400, "unauthorized_client")
    form = {
        "grant_type": GRANT_TYPE,
        "subject_token": subject["access_token"],
        "subject_token_type": ACCESS_TOKEN_TYPE,
        "audience": "inventory",
    }
    auth = ("orders-service", services.secrets["orders-service"])
    answer = await services.issuer.internal.post("/oauth/token", data=form, auth=auth)
    assert await refused(answer) == (400, "unauthorized_client")


async def test_not_on_the_public_listener(services: Services, subject: dict[str, Any]) -> None:
    form = {"grant_type": GRANT_TYPE, "subject_token": subject["access_token"]}
    auth = ("orders-service", services.secrets["orders-service"])
    answer = await services.issuer.public.post("/oauth/token", data=form, auth=auth)
    assert await refused(answer) == (400, "unsupported_grant_type")


async def test_a_token_that_was_meant_for_another_service(services: Services) -> None:
    """A service that came by somebody else's token cannot trade it."""
    token = await services.client_token("loop-service", "billing")
    assert await refused(await services.ask(token)) == (400, "invalid_request")
    await services.trade(await services.client_token("loop-service"))


async def test_the_actor_is_the_client_itself(services: Services, subject: dict[str, Any]) -> None:
    own = await services.client_token("orders-service")
    delegated = await services.trade(own)
    users = (await services.minter.mint("alice", "orders-service", ["orders"])).token
    others = await services.client_token("loop-service")
    bad = [subject["access_token"], others, delegated, users]
    for actor in bad:
        answer = await services.ask(
            subject["access_token"], actor_token=actor, actor_token_type=ACCESS_TOKEN_TYPE
        )
        assert await refused(answer) == (400, "invalid_request")


def signed(**claims: Any) -> str:
    """A token with these claims, by our key, wherever that may be."""
    return jws.sign_compact(claims, SIGNER, ACCESS_TOKEN_TYP)


async def issued(services: Services, **more: Any) -> dict[str, Any]:
    """The claims of a token that was issued, and says this besides."""
    claims = {
        "iss": ISS,
        "sub": "alice",
        "aud": "orders",
        "client_id": "first-party",
        "jti": JtiAllocator(os.urandom).allocate(int(time.time()), os.getpid()),
        **more,
    }
    iat = await services.issuer.register.mint(
        Registration(claims["jti"], "alice", "first-party", None, 600, digest=issued_digest(claims))
    )
    return {**claims, "iat": iat, "nbf": iat, "exp": iat + 600}


async def test_only_what_was_issued_is_traded(services: Services) -> None:
    """A stolen key signs anything, also under the jti of a token that its thief has got fairly."""
    good = await issued(services, scope="inventory:read")
    await services.trade(signed(**good))
    changes: list[dict[str, Any]] = [
        {"jti": "never-issued"},
        {"sub": "bob"},
        {"client_id": "loop-service"},
        {"aud": ["orders", "search"]},
        {"scope": "inventory:read inventory:write"},
        {"perms": ["inventory:write"]},
        {"act": {"sub": "loop-service"}},
        {"orig": {"jti": good["jti"], "iat": good["iat"]}},
        {"iat": good["iat"] - 1},
        {"exp": good["exp"] + 1},
    ]
    for change in changes:
        token = signed(**(good | change))
        assert services.claims(token), "the verifier alone finds it good"
        assert await refused(await services.ask(token)) == (400, "invalid_request"), change
    await services.trade(signed(**dict(reversed(good.items()))))


@pytest.mark.parametrize(
    ("may_act", "allowed"),
    [
        ({"sub": "orders-service"}, True),
        ({"sub": "orders-service", "iss": ISS}, True),
        ({"sub": "orders-service", "iss": "https://other.example"}, False),
        ({"sub": "inventory-service"}, False),
        ({}, False),
        (["orders-service"], False),
        ("orders-service", False),
        (None, False),
    ],
)
async def test_who_may_act_by_the_subject_token(
    services: Services, may_act: Any, allowed: bool
) -> None:
    answer = await services.ask(signed(**await issued(services, may_act=may_act)))
    assert answer.status_code == (200 if allowed else 400), answer.text


async def test_nothing_is_issued_without_a_lease(
    services: Services, subject: dict[str, Any]
) -> None:
    services.stale = True
    answer = await services.ask(subject["access_token"])
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "7")
