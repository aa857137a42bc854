"""Tokens of other people's identity providers, from their JWK Set to an agent's verdict.

The provider is a real server on loopback; its keys and tokens are made by PyJWT and by joserfc.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jwt.utils import base64url_encode

from tests.e2e.conftest import POLICY, Stack
from tests.e2e.foreign_providers import (
    AUDIENCE,
    COMMON_KEYS,
    TENANTS,
    Providers,
    agent_of,
    code_of,
    configured,
    imported,
    iss_of,
    signer,
    until,
)
from tests.issuer.foreign.provider import Page
from tests.support.ports import find_free
from tocsin_issuer.development import Development, DevelopmentOptions
from tocsin_issuer.settings import ExternalServers
from tocsin_verifier_agent import VerifierAgent


@pytest.fixture(autouse=True)
def providers(tmp_path: Path) -> Iterator[Providers]:
    """Before the stack: what it is configured with."""
    with configured(tmp_path / ".tocsin") as providers:
        yield providers


async def test_four_providers_by_two_libraries(stack: Stack, providers: Providers) -> None:
    async with agent_of(stack, providers) as agent:
        await imported(stack, agent, providers)
        for iss, dialect in providers.dialects.items():
            verified = agent.verify(providers.token(iss))
            assert verified.permissions == dialect.permissions, iss
            assert verified.claims["iss"] == iss
        agent.verify((await stack.log_in())["access_token"])

        now = int(time.time())
        for iss, dialect in providers.dialects.items():
            key = providers.keys[iss]
            for aud in (AUDIENCE, "shop"):
                # Even one whose client has our name, and without the claims that may be missing.
                for absent in ({}, {"nonce": None}, {"nonce": None, "at_hash": None, "sid": None}):
                    claims = dialect.id_token(iss, aud, now - 10, **absent)
                    assert await code_of(agent, key.sign(claims, dialect.typ)) == "typ", iss
            for typ in ("logout+jwt", "secevent+jwt", "dpop+jwt"):
                wrong = key.sign(dialect.access(iss, AUDIENCE, now - 10), typ)
                assert await code_of(agent, wrong) == "typ", (iss, typ)
            changes: dict[str, Any]
            for changes, code in (
                ({"aud": "api://other"}, "aud"),
                ({"exp": now - 60}, "exp"),
                ({"exp": now + 90_000}, "exp"),
                ({"iat": now + 60}, "iat"),
                ({"sub": None}, "sub"),
            ):
                assert await code_of(agent, providers.token(iss, **changes)) == code, (iss, code)


async def test_an_agent_accepts_whom_its_file_names(stack: Stack, providers: Providers) -> None:
    other = iss_of("okta", "joserfc")
    async with (
        agent_of(stack, providers) as open_minded,
        agent_of(stack, providers, without=other) as strict,
        stack.agent() as own_alone,
    ):
        await imported(stack, open_minded, providers)
        assert await code_of(strict, providers.token(other)) == "iss"
        assert await code_of(own_alone, providers.token(other)) == "iss"
        assert await code_of(strict, providers.token(iss_of("okta", "pyjwt"))) == "accepted"


async def test_no_provider_speaks_for_another(stack: Stack, providers: Providers) -> None:
    a, b = iss_of("keycloak", "pyjwt"), iss_of("keycloak", "joserfc")
    assert providers.keys[a].kid == providers.keys[b].kid
    async with agent_of(stack, providers) as agent:
        await imported(stack, agent, providers)
        assert await code_of(agent, providers.token(a, named=b)) == "signature"
        assert await code_of(agent, providers.token(a, named=stack.development.public_url)) == "kid"
        assert await code_of(agent, providers.token(a, named="https://nobody.example")) == "iss"
        # Two tenants share their keys, and each token counts for its own.
        for tenant in TENANTS:
            assert agent.verify(providers.token(tenant)).claims["iss"] == tenant
        third = providers.token(TENANTS[0], named="https://entra.example/tenant-3/v2.0")
        assert await code_of(agent, third) == "iss"


async def test_a_rotation_reaches_agents_and_only_the_issuer_fetches(
    stack: Stack, providers: Providers
) -> None:
    iss = iss_of("auth0", "joserfc")
    path, server = providers.paths[iss], providers.server
    following = signer("joserfc", "key-2", 30)
    async with agent_of(stack, providers) as one, agent_of(stack, providers) as two:
        await imported(stack, one, providers)
        for agent in (one, two):
            assert await code_of(agent, providers.token(iss, key=following)) == "kid"
        server.publish(path, providers.keys[iss].jwk(), following.jwk())
        for agent in (one, two):
            await until(agent, providers.token(iss, key=following), "accepted")
            assert await code_of(agent, providers.token(iss)) == "accepted"
        server.publish(path, following.jwk())
        for agent in (one, two):
            # Others have a key of that name, which is not looked at.
            await until(agent, providers.token(iss), "kid")
            assert await code_of(agent, providers.token(iss, key=following)) == "accepted"

        before, started = server.requests[path], time.monotonic()
        for number in range(2000):
            stranger = providers.token(iss, key=_Stranger(number))
            assert await code_of(one, stranger) == "kid"
            if number % 50 == 0:
                await asyncio.sleep(0)
        elapsed = time.monotonic() - started
        assert server.requests[path] - before <= 2 + elapsed, "an unknown kid starts no fetch"
        assert {headers["User-Agent"] for headers in server.seen} == {"tocsin-issuer"}


class _Stranger:
    """A token that names a key which nobody has; its signature costs nothing."""

    def __init__(self, number: int) -> None:
        self.kid = f"unknown-{number}"

    def jwk(self) -> dict[str, Any]:
        raise NotImplementedError

    def sign(self, claims: Any, typ: str | None) -> str:
        header = {"alg": "RS256", "kid": self.kid, "typ": typ}
        signed = base64url_encode(json.dumps(header).encode())
        body = base64url_encode(json.dumps(claims).encode())
        return b".".join((signed, body, b"A" * 342)).decode()


BAD_DAYS: dict[str, Callable[[Page], Page]] = {
    "down": lambda good: Page(status=503),
    "rubbish": lambda good: Page(b"<html></html>"),
    "empty": lambda good: Page(b'{"keys":[]}'),
    "redirect": lambda good: Page(status=302, headers={"Location": COMMON_KEYS}),
    "huge": lambda good: Page(good.body + b" " * 600_000),
    "slow": lambda good: Page(drip_s=0.05),
}


async def test_a_bad_day_at_the_providers_keeps_their_users(
    stack: Stack, providers: Providers
) -> None:
    issuers = dict(zip(BAD_DAYS, providers.keys, strict=False))
    async with agent_of(stack, providers) as agent:
        await imported(stack, agent, providers)
        asked = {
            name: providers.server.requests[providers.paths[iss]] for name, iss in issuers.items()
        }
        for name, iss in issuers.items():
            path = providers.paths[iss]
            providers.server.pages[path] = BAD_DAYS[name](providers.server.pages[path])
        deadline = time.monotonic() + 30
        while any(
            providers.server.requests[providers.paths[iss]] == asked[name]
            for name, iss in issuers.items()
        ):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
        for name, iss in issuers.items():
            assert await code_of(agent, providers.token(iss)) == "accepted", name
        agent.verify((await stack.log_in())["access_token"])
        listed = (await stack.admin("GET", "/admin/issuers")).json()["issuers"]
        failures = {one["iss"]: one["failure"] for one in listed}
        assert failures[issuers["empty"]] == "no_usable_key"
        assert failures[issuers["redirect"]] == "redirect"
        assert all(one["keys"] for one in listed)


async def test_a_provider_that_publishes_our_names_gains_nothing(
    stack: Stack, providers: Providers
) -> None:
    iss = iss_of("keycloak", "pyjwt")
    server, path = providers.server, providers.paths[iss]
    own = (await stack.http.get(f"{stack.development.public_url}/.well-known/jwks.json")).json()
    ours = own["keys"][0]
    async with agent_of(stack, providers) as agent:
        await imported(stack, agent, providers)
        login = (await stack.log_in())["access_token"]
        under_our_kid = signer("pyjwt", ours["kid"], 40)
        server.publish(
            path,
            under_our_kid.jwk(),
            {**ours, "kid": "a name of theirs"},
            providers.keys[iss].jwk(),
        )
        await _skipped(stack, iss, ["key_is_ours", "key_is_ours"])
        assert await code_of(agent, login) == "accepted"
        forged = providers.token(iss, key=under_our_kid)
        assert await code_of(agent, forged) in ("kid", "signature")
        forged = providers.token(iss, key=under_our_kid, named=stack.development.public_url)
        assert await code_of(agent, forged) in ("kid", "signature")
        assert await code_of(agent, providers.token(iss)) == "accepted"


async def _skipped(stack: Stack, iss: str, codes: list[str]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        listed = (await stack.admin("GET", "/admin/issuers")).json()["issuers"]
        if {one["iss"]: one["skipped"] for one in listed}[iss] == codes:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the set was not read")


async def test_foreign_issuers_survive_a_rotation_of_our_own(
    stack: Stack, providers: Providers
) -> None:
    async with agent_of(stack, providers) as agent:
        await imported(stack, agent, providers)
        before = agent.replica.trust.keyset
        assert before is not None
        assert before.policy.max_token_life_s == 5400
        answer = await stack.admin("POST", "/admin/keys/rotate")
        assert answer.status_code == 200, answer.text
        await until(agent, (await stack.log_in())["access_token"], "accepted")
        after = agent.replica.trust.keyset
        assert after is not None
        assert (after.version, after.foreign_issuers) == (
            before.version + 1,
            before.foreign_issuers,
        )
        for iss in providers.keys:
            assert await code_of(agent, providers.token(iss)) == "accepted"


async def test_a_later_start_notices_a_change_of_the_file(
    tmp_path: Path, providers: Providers
) -> None:
    """The ledger exists already, so that a new keyset has to be published in it."""
    options = DevelopmentOptions(
        folder=tmp_path / "later",
        out=tmp_path / "out",
        services=("orders",),
        public_port=find_free(),
        internal_port=find_free(),
        policy=POLICY,
    )
    options.out.mkdir()
    iss = iss_of("entra", "joserfc")
    for start, file in enumerate((None, providers.toml(), "foreign_issuers = []\n")):
        if file is not None:
            (options.folder / "issuers.toml").write_text(file)
        with Development(options, ExternalServers(None, None, None, None)) as development:
            try:
                await development.service.start()
                development.write_service_files()
                path = options.out / "orders.tocsin"
                listed = f'\n[[issuers]]\nissuer = "{iss}"\naudiences = ["{AUDIENCE}"]\n'
                path.write_text(path.read_text() + listed)
                async with VerifierAgent.from_file(path) as agent:
                    await until(agent, providers.token(iss), ("kid", "accepted", "kid")[start])
                    keyset = agent.replica.trust.keyset
                    assert keyset is not None
                    assert keyset.version == start + 1
                    if start == 2:
                        await forgotten(agent)
            finally:
                await development.service.stop()


async def forgotten(agent: VerifierAgent) -> None:
    """No key is left of issuers that are named no longer."""
    deadline = time.monotonic() + 30
    while any(agent.replica.state.imported.values()):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
