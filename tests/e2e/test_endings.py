"""The list of endings, walked on running servers: behind each entry an agent denies the token."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

import httpx
from argon2 import PasswordHasher
from redis.asyncio import Redis

from tests.e2e.conftest import Stack
from tests.support.commands import send_command
from tests.support.rejected import rejected
from tests.support.stack import running_stack
from tocsin_issuer.endings import ABSOLUTE, ENDINGS, IDLE, NEW_PRIMARY
from tocsin_issuer.keys.signer import generate
from tocsin_issuer.store import names
from tocsin_issuer.store.account_endings import AccountEndings
from tocsin_issuer.store.connection import connect
from tocsin_issuer.store.lineage import Lineage
from tocsin_issuer.store.outbox import Emission, Outbox
from tocsin_issuer.store.passwords import Passwords
from tocsin_issuer.store.users import UserStore
from tocsin_schemas import base64url, strict_json
from tocsin_schemas.events import (
    AllRevokedBefore,
    ClientRevokedBefore,
    KeyRevoked,
    SessionsRevoked,
    SubjectRevokedBefore,
    TokensRevoked,
)
from tocsin_verifier_agent import VerifierAgent
from tocsin_verifier_agent.feed import Clocks

PASSWORD = "correct horse"
DEVICE = "d" * 43
CODES = {
    TokensRevoked: {"token_revoked"},
    SessionsRevoked: {"session_revoked"},
    SubjectRevokedBefore: {"subject_revoked"},
    ClientRevokedBefore: {"client_revoked"},
    AllRevokedBefore: {"all_revoked"},
    KeyRevoked: {"key_revoked", "kid"},  # the next keyset, which follows, no longer lists it
}


@dataclass
class Site:
    """A stack, and a second issuer process's hands on its store."""

    stack: Stack
    redis: Redis
    outbox: Outbox
    accounts: AccountEndings
    users: UserStore
    clients: list[str] = field(default_factory=list)

    async def user(self) -> str:
        """Somebody new; returns the name."""
        name = "user-" + token_urlsafe(6).lower()
        await self.users.create(name, PASSWORD)
        return name

    async def sub(self, name: str) -> str:
        sub = await self.users.sub_of(name)
        assert sub is not None
        return sub

    async def login(self, name: str, **more: str) -> dict[str, Any]:
        body = {"username": name, "password": PASSWORD, **more}
        answer = await self.stack.http.post(self._public("/v1/login"), json=body)
        assert answer.status_code == 200, answer.text
        members: dict[str, Any] = answer.json()
        return members

    async def client(self) -> tuple[tuple[str, str], str]:
        """A new client's credentials, and a token of its own."""
        name = "client-" + token_urlsafe(6)
        accounts = self.stack.development.service.accounts
        auth = (name, await accounts.clients.create(name, ["orders"]))
        form = {"grant_type": "client_credentials"}
        answer = await self.stack.http.post(self._public("/oauth/token"), data=form, auth=auth)
        assert answer.status_code == 200, answer.text
        return auth, str(answer.json()["access_token"])

    async def delete(self, path: str, token: str) -> httpx.Response:
        return await self.stack.http.delete(
            self._public(path), headers={"Authorization": f"Bearer {token}"}
        )

    async def refresh(self, token: str, **more: str) -> httpx.Response:
        form = {"grant_type": "refresh_token", "refresh_token": token, **more}
        return await self.stack.http.post(self._public("/oauth/token"), data=form)

    async def revoke(self, auth: tuple[str, str], token: str) -> httpx.Response:
        """RFC 7009."""
        url = self.stack.development.internal_url + "/oauth/revoke"
        return await self.stack.http.post(url, data={"token": token}, auth=auth)

    async def in_ledger(self, emission: Emission) -> None:
        assert await self.outbox.committed(emission.entry_id, 5.0)

    def _public(self, path: str) -> str:
        return self.stack.development.public_url + path


@asynccontextmanager
async def site_of(stack: Stack) -> AsyncIterator[Site]:
    service = stack.development.service
    redis = connect(service._settings.redis_url)  # pyright: ignore[reportPrivateUsage]
    try:
        outbox = Outbox(redis)
        config = service.config
        passwords = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        accounts = AccountEndings(
            redis,
            outbox,
            passwords,
            max_token_life_s=config.max_token_life_s,
            session_absolute_s=config.session_absolute_s,
        )
        users = UserStore(redis, passwords)
        yield Site(stack, redis, outbox, accounts, users)
    finally:
        await redis.aclose()


End = Callable[[], Awaitable[object]]
Scenario = Callable[[Site], Awaitable[tuple[str, End]]]
"""Gives a good token, and what is to end it."""

SCENARIOS: dict[str, Scenario] = {}


def scenario(name: str) -> Callable[[Scenario], Scenario]:
    def add(run: Scenario) -> Scenario:
        SCENARIOS[name] = run
        return run

    return add


async def answered(answer: Awaitable[httpx.Response]) -> None:
    response = await answer
    assert response.status_code == 200, response.text


async def refused(answer: Awaitable[httpx.Response]) -> None:
    response = await answer
    assert (response.status_code, response.json()["error"]) == (400, "invalid_grant")


@scenario("logout")
async def logout(site: Site) -> tuple[str, End]:
    token = (await site.login(await site.user()))["access_token"]
    return token, lambda: answered(site.stack.post("/v1/logout", token))


@scenario("logout-of-token")
async def logout_of_token(site: Site) -> tuple[str, End]:
    _, token = await site.client()
    return token, lambda: answered(site.stack.post("/v1/logout", token))


@scenario("logout-all")
async def logout_all(site: Site) -> tuple[str, End]:
    name = await site.user()
    token, other = [(await site.login(name))["access_token"] for _ in range(2)]
    return token, lambda: answered(site.stack.post("/v1/logout-all", other))


@scenario("session-removed")
async def session_removed(site: Site) -> tuple[str, End]:
    name = await site.user()
    lost, here = await site.login(name), await site.login(name)
    path = "/v1/sessions/" + lost["session_id"]
    return lost["access_token"], lambda: answered(site.delete(path, here["access_token"]))


@scenario("other-sessions-removed")
async def other_sessions_removed(site: Site) -> tuple[str, End]:
    name = await site.user()
    lost, here = await site.login(name), await site.login(name)
    path = "/v1/sessions?except=current"
    return lost["access_token"], lambda: answered(site.delete(path, here["access_token"]))


@scenario("refresh-reuse")
async def refresh_reuse(site: Site) -> tuple[str, End]:
    login = await site.login(await site.user())
    token = (await site.refresh(login["refresh_token"])).json()["access_token"]
    return token, lambda: refused(site.refresh(login["refresh_token"]))


@scenario("refresh-ahead")
async def refresh_ahead(site: Site) -> tuple[str, End]:
    login = await site.login(await site.user())
    key = names.SESSION + login["session_id"]
    backup: Any = await site.redis.hgetall(key)
    following = (await site.refresh(login["refresh_token"])).json()

    async def end() -> None:
        await site.redis.hset(key, mapping=backup)
        await refused(site.refresh(following["refresh_token"]))

    return following["access_token"], end


@scenario("device-mismatch")
async def device_mismatch(site: Site) -> tuple[str, End]:
    login = await site.login(await site.user(), device_id=DEVICE)
    other = "e" * 43
    return login["access_token"], lambda: refused(
        site.refresh(login["refresh_token"], device_id=other)
    )


@scenario("user-gone")
async def user_gone(site: Site) -> tuple[str, End]:
    """A directory that forgets somebody says nothing to anybody."""
    name = await site.user()
    login = await site.login(name)
    sub = await site.sub(name)

    async def end() -> None:
        await site.users.delete(sub)
        await refused(site.refresh(login["refresh_token"]))

    return login["access_token"], end


@scenario("client-revoked-token")
async def client_revoked_token(site: Site) -> tuple[str, End]:
    auth, token = await site.client()
    return token, lambda: answered(site.revoke(auth, token))


@scenario("client-revoked-session")
async def client_revoked_session(site: Site) -> tuple[str, End]:
    """The client that logins are of has a secret here."""
    service = site.stack.development.service
    if not site.clients:
        name = service.config.login_client_id
        site.clients += [name, await service.accounts.clients.create(name, ["orders"])]
    auth = (site.clients[0], site.clients[1])
    login = await site.login(await site.user())
    return login["access_token"], lambda: answered(site.revoke(auth, login["refresh_token"]))


@scenario("password-changed")
async def password_changed(site: Site) -> tuple[str, End]:
    name = await site.user()
    token = (await site.login(name))["access_token"]
    sub = await site.sub(name)

    async def end() -> None:
        await site.in_ledger(await site.accounts.change_password(sub, "another"))

    return token, end


@scenario("user-disabled")
async def user_disabled(site: Site) -> tuple[str, End]:
    name = await site.user()
    token = (await site.login(name))["access_token"]
    sub = await site.sub(name)

    async def end() -> None:
        await site.in_ledger(await site.accounts.disable_user(sub))

    return token, end


@scenario("user-deleted")
async def user_deleted(site: Site) -> tuple[str, End]:
    name = await site.user()
    token = (await site.login(name))["access_token"]
    sub = await site.sub(name)

    async def end() -> None:
        await site.in_ledger(await site.accounts.delete_user(sub))

    return token, end


@scenario("client-disabled")
async def client_disabled(site: Site) -> tuple[str, End]:
    (name, _), token = await site.client()

    async def end() -> None:
        await site.in_ledger(await site.accounts.disable_client(name))

    return token, end


@scenario("client-secret-rotated")
async def client_secret_rotated(site: Site) -> tuple[str, End]:
    (name, _), token = await site.client()

    async def end() -> None:
        _, emission = await site.accounts.rotate_client_secret(name)
        await site.in_ledger(emission)

    return token, end


@scenario("client-keys-replaced")
async def client_keys_replaced(site: Site) -> tuple[str, End]:
    (name, _), token = await site.client()
    jwks = {"keys": [generate("ES256").public.jwk]}

    async def end() -> None:
        await site.in_ledger(await site.accounts.replace_client_keys(name, jwks))

    return token, end


def by_an_operator(name: str, body: Callable[[dict[str, Any], str], dict[str, object]]) -> None:
    """An entry that is one request to ``/admin/revocations``."""

    @scenario(name)
    async def run(site: Site) -> tuple[str, End]:
        user = await site.user()
        login = await site.login(user)
        wanted = body(login, await site.sub(user))
        path = "/admin/revocations"
        return login["access_token"], lambda: answered(site.stack.admin("POST", path, wanted))


by_an_operator("admin-token", lambda login, _: {"by": "token", "token": login["access_token"]})


@scenario("admin-bulk")
async def admin_bulk(site: Site) -> tuple[str, End]:
    token = (await site.login(await site.user()))["access_token"]
    claims = strict_json.loads_object(base64url.decode(token.split(".")[1]))

    async def end() -> None:
        answer = await site.stack.http.post(
            site.stack.development.internal_url + "/admin/revocations/bulk",
            content=f"{claims['jti']} {claims['exp']}".encode(),
            headers={
                "Authorization": f"Bearer {await site.stack.operator_token()}",
                "Content-Type": "text/plain",
            },
        )
        assert json.loads(answer.text.splitlines()[-1])["status"] == "committed", answer.text

    return token, end


by_an_operator("admin-session", lambda login, _: {"by": "session", "sid": login["session_id"]})
by_an_operator("admin-subject", lambda _, sub: {"by": "subject", "sub": sub})
by_an_operator("admin-client", lambda _, __: {"by": "client", "client_id": "first-party"})
by_an_operator("admin-all", lambda _, __: {"by": "all"})


def by_a_service(name: str, body: Callable[[dict[str, Any], str], dict[str, object]]) -> None:
    """An entry that is one command over NATS, sent with a service's own bus user."""

    @scenario(name)
    async def run(site: Site) -> tuple[str, End]:
        user = await site.user()
        login = await site.login(user)
        wanted = body(login, await site.sub(user))

        async def end() -> None:
            token = await site.stack.operator_token()
            reply = await send_command(site.stack, {"revoke": wanted}, token)
            assert reply["status"] == 200, reply

        return login["access_token"], end


by_a_service("command-token", lambda login, _: {"by": "token", "token": login["access_token"]})
by_a_service("command-session", lambda login, _: {"by": "session", "sid": login["session_id"]})
by_a_service("command-subject", lambda _, sub: {"by": "subject", "sub": sub})
by_a_service("command-client", lambda _, __: {"by": "client", "client_id": "first-party"})
by_a_service("command-all", lambda _, __: {"by": "all"})


@scenario("key-compromised")
async def key_compromised(site: Site) -> tuple[str, End]:
    token = (await site.login(await site.user()))["access_token"]
    answer = await site.stack.admin("GET", "/admin/keys")
    (kid,) = (key["kid"] for key in answer.json()["keys"] if key["phase"] == "active")
    path = f"/admin/keys/{kid}/revoke"
    return token, lambda: answered(site.stack.admin("POST", path))


def test_each_entry_of_the_list_has_a_scenario() -> None:
    told = {ending.name for ending in ENDINGS if ending.kind is not None}
    assert set(SCENARIOS) == told
    assert {ending for ending in ENDINGS if ending.kind is None} == {IDLE, ABSOLUTE, NEW_PRIMARY}


async def test_an_agent_denies_the_token_behind_each_entry(stack: Stack) -> None:
    """One after the other, on one stack. What ends one session, token or user leaves a bystander's
    token good.
    """
    wrong: list[str] = []
    bystander = ""
    async with site_of(stack) as site, stack.agent() as agent:
        for ending in ENDINGS:
            if ending.kind is None:
                continue
            bystander = bystander or (await stack.log_in())["access_token"]
            token, end = await SCENARIOS[ending.name](site)
            agent.verify(token)
            agent.verify(bystander)
            await end()
            code = await rejected(agent, token)
            if code not in CODES[ending.kind]:
                wrong.append(f"{ending.name}: {code}")
            if ending.kind in (SessionsRevoked, TokensRevoked, SubjectRevokedBefore):
                agent.verify(bystander)
            else:
                bystander = ""
    assert wrong == []


IDLE_S = 60  # no session may be shorter
ABSOLUTE_S = 61


async def test_an_agent_denies_the_last_token_when_its_session_ends_by_age(tmp_path: Path) -> None:
    """No event tells of it, and none is needed. The agent's wall clock is moved to the moment."""
    moved_to: list[float] = []
    wall = Clocks(wall=lambda: moved_to[-1] if moved_to else time.time())
    async with (
        running_stack(tmp_path, session_idle_s=IDLE_S, session_absolute_s=ABSOLUTE_S) as stack,
        site_of(stack) as site,
        agent_with(stack, wall) as agent,
    ):
        name = await site.user()
        for ending in (IDLE, ABSOLUTE):
            login = await site.login(name)
            session = await site.redis.hgetall(names.SESSION + login["session_id"])
            ends = int(session["created"]) + IDLE_S
            if ending is ABSOLUTE:
                ends = int(session["ends"])
                await asyncio.sleep(ABSOLUTE_S - IDLE_S + 1)  # the idle end is not the nearer one
                login = (await site.refresh(login["refresh_token"])).json()
            assert await site.redis.expiretime(names.SESSION + login["session_id"]) == ends
            moved_to.append(ends - 1)
            agent.verify(login["access_token"])
            moved_to.append(ends)
            assert await rejected(agent, login["access_token"]) == "exp", ending.name
            moved_to.clear()


def agent_with(stack: Stack, clocks: Clocks) -> VerifierAgent:
    """The agent of the file, with other clocks."""
    config = stack.agent()._config  # pyright: ignore[reportPrivateUsage]
    return VerifierAgent(config, clocks=clocks)


async def test_a_new_primary_ends_families_and_no_token(stack: Stack) -> None:
    async with site_of(stack) as site, stack.agent() as agent:
        login = await site.login(await site.user())
        await Lineage(site.redis).end_all_families()
        await refused(site.refresh(login["refresh_token"]))
        agent.verify(login["access_token"])
        assert await site.outbox.length() == 0
