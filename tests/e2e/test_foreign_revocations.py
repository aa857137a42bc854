"""Revoking tokens of other people's identity providers, from the request to an agent's refusal."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Stack
from tests.e2e.foreign_providers import (
    COMMON_KEYS,
    TENANTS,
    Providers,
    agent_of,
    code_of,
    configured,
    imported,
    iss_of,
    until,
)
from tocsin_schemas import jwk
from tocsin_verifier_agent import VerifierAgent


@pytest.fixture(autouse=True)
def providers(tmp_path: Path) -> Iterator[Providers]:
    """Before the stack: what it is configured with."""
    with configured(tmp_path / ".tocsin") as providers:
        yield providers


Ask = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.mark.parametrize(
    ("dialect", "code", "ask"),
    [
        ("keycloak", "token_revoked", lambda t: {"by": "token", "jti": t["jti"], "exp": t["exp"]}),
        ("entra", "token_revoked", lambda t: {"by": "token", "jti": t["uti"], "exp": t["exp"]}),
        ("keycloak", "session_revoked", lambda t: {"by": "session", "sid": t["sid"]}),
        ("okta", "subject_revoked", lambda t: {"by": "subject", "sub": t["uid"]}),
        ("auth0", "client_revoked", lambda t: {"by": "client", "client_id": t["azp"]}),
    ],
    ids=["keycloak-jti", "entra-uti", "sid", "sub", "client"],
)
async def test_a_revocation_hits_one_issuers_tokens_alone(
    stack: Stack, providers: Providers, dialect: str, code: str, ask: Ask
) -> None:
    iss, twin = iss_of(dialect, "pyjwt"), iss_of(dialect, "joserfc")
    async with agent_of(stack, providers) as agent:
        await imported(stack, agent, providers)
        names = providers.dialects[iss].names
        same: dict[str, Any] = {
            name: f"same-{name}" for name in ("jti", "sub", "sid", "client") if names[name]
        }
        theirs, equal = providers.token(iss, **same), providers.token(twin, **same)
        claims = dict(agent.verify(theirs).claims)
        agent.verify(equal)
        ours = (await stack.log_in())["access_token"]
        body = ask(claims)

        unknown = await stack.admin(
            "POST", "/admin/revocations", {**body, "iss": "https://nobody.example"}
        )
        assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_issuer")
        answer = await stack.admin("POST", "/admin/revocations", {**body, "iss": iss})
        assert answer.status_code == 200, answer.text
        await until(agent, theirs, code)
        assert await code_of(agent, equal) == "accepted"
        assert await code_of(agent, ours) == "accepted"

        # The same names in our own issuer's scope hit neither of them.
        if "exp" in body:
            body["exp"] = int(time.time()) + 60
        answer = await stack.admin("POST", "/admin/revocations", body)
        assert answer.status_code == 200, answer.text
        named = {**body, "iss": stack.development.public_url}
        assert (await stack.admin("POST", "/admin/revocations", named)).status_code == 200
        await settled(stack, agent)
        assert await code_of(agent, equal) == "accepted"


async def settled(stack: Stack, agent: VerifierAgent) -> None:
    """The agent has applied all that was answered with 200 so far."""
    probe = (await stack.log_in())["access_token"]
    answer = await stack.admin("POST", "/admin/revocations", {"by": "token", "token": probe})
    assert answer.status_code == 200
    await until(agent, probe, "token_revoked")


async def test_our_own_names_in_a_rule_of_ours_hit_no_foreign_token(
    stack: Stack, providers: Providers
) -> None:
    """And the other way round: a foreign subject may have one of our subjects' names."""
    iss = iss_of("keycloak", "pyjwt")
    async with agent_of(stack, providers) as agent:
        await imported(stack, agent, providers)
        ours = (await stack.log_in())["access_token"]
        sub = agent.verify(ours).claims["sub"]
        theirs = providers.token(iss, sub=sub)
        agent.verify(theirs)
        answer = await stack.admin(
            "POST", "/admin/revocations", {"by": "subject", "sub": sub, "iss": iss}
        )
        assert answer.status_code == 200
        await until(agent, theirs, "subject_revoked")
        assert await code_of(agent, ours) == "accepted"
        other = providers.token(iss_of("keycloak", "joserfc"), sub=sub)
        assert (await stack.post("/v1/logout-all", ours)).status_code == 200
        await until(agent, ours, "subject_revoked")
        assert await code_of(agent, other) == "accepted"


async def test_everything_means_every_issuer(stack: Stack, providers: Providers) -> None:
    async with agent_of(stack, providers) as agent:
        await imported(stack, agent, providers)
        tokens = {iss: providers.token(iss) for iss in providers.keys}
        assert (await stack.admin("POST", "/admin/revocations", {"by": "all"})).status_code == 200
        for token in tokens.values():
            await until(agent, token, "all_revoked")


async def test_a_key_is_revoked_for_good_and_for_both_tenants(
    stack: Stack, providers: Providers
) -> None:
    key = providers.keys[TENANTS[0]]
    thumbprint = jwk.from_jwk({**key.jwk(), "kid": None}).kid
    async with agent_of(stack, providers) as agent:
        await imported(stack, agent, providers)
        body: dict[str, object] = {"by": "key", "iss": TENANTS[0], "kid": thumbprint}
        unknown = {**body, "iss": "https://nobody.example"}
        assert (await stack.admin("POST", "/admin/revocations", unknown)).status_code == 404
        own = (await stack.http.get(f"{stack.development.public_url}/.well-known/jwks.json")).json()
        ours = {**body, "kid": own["keys"][0]["kid"]}
        refused = await stack.admin("POST", "/admin/revocations", ours)
        assert (refused.status_code, refused.json()["code"]) == (409, "key_is_ours")

        assert (await stack.admin("POST", "/admin/revocations", body)).status_code == 200
        for tenant in TENANTS:
            await until(agent, providers.token(tenant), "key_revoked")
        # Published again, under another name: it stays revoked.
        renamed = {**key.jwk(), "kid": "fresh"}
        providers.server.publish(COMMON_KEYS, renamed)
        key.kid = "fresh"
        for tenant in TENANTS:
            await until(agent, providers.token(tenant), "key_revoked")
        agent.verify(providers.token(iss_of("entra", "pyjwt")))
        agent.verify((await stack.log_in())["access_token"])


async def tocsin(stack: Stack, app: str, *arguments: str) -> tuple[int | None, str]:
    """A command in a process of its own: exit status, and what it says."""
    module, _, name = app.partition(":")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", f"from {module} import {name}; {name}()", *arguments,
        env={**os.environ, "TOCSIN_ADMIN_FILE": str(stack.secrets.admin_file)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(60):
        out, _ = await process.communicate()
    return process.returncode, out.decode()


async def test_the_command_line(stack: Stack, providers: Providers) -> None:
    iss = iss_of("keycloak", "pyjwt")
    thumbprint = jwk.from_jwk({**providers.keys[iss].jwk(), "kid": None}).kid
    issuers, main = "tocsin_issuer.cli.issuers:app", "tocsin_issuer.cli:main"
    async with agent_of(stack, providers) as agent:
        await imported(stack, agent, providers)
        token = providers.token(iss)
        claims = agent.verify(token).claims
        by_name = ("revoke", "--jti", claims["jti"], "--exp", str(claims["exp"]))
        listed, refreshed, mistyped, usage = await asyncio.gather(
            tocsin(stack, issuers, "list", "--json"),
            tocsin(stack, issuers, "refresh"),
            tocsin(stack, main, *by_name, "--issuer", iss.rstrip("/")),
            tocsin(stack, main, "revoke", "--key", thumbprint),
        )
        (told,) = [one for one in json.loads(listed[1])["issuers"] if one["iss"] == iss]
        assert told["keys"] == [{"kid": "key-1", "thumbprint": thumbprint, "revoked": False}]
        assert (told["failure"], told["skipped"]) == (None, [])
        assert abs(told["fetched_at"] - time.time()) < 30
        assert (refreshed[0], json.loads(refreshed[1])) == (0, {"status": "fetching"})
        assert (mistyped[0], "[unknown_issuer]" in mistyped[1]) == (1, True)
        assert (usage[0], "[usage]" in usage[1]) == (1, True)
        assert await code_of(agent, token) == "accepted"

        status, out = await tocsin(stack, main, *by_name, "--issuer", iss)
        assert (status, json.loads(out)["status"]) == (0, "committed")
        await until(agent, token, "token_revoked")
        status, out = await tocsin(stack, main, "revoke", "--key", thumbprint, "--issuer", iss)
        assert (status, json.loads(out)["status"]) == (0, "committed")
        await until(agent, providers.token(iss), "key_revoked")
        status, out = await tocsin(stack, issuers, "list")
        assert (status, "(revoked)" in out) == (0, True)
        assert all(name in out for name in providers.keys)
