"""What was shown before an account changed is worth nothing after it, however long it took to check
it. Each request stands still between the check and what it asks for, while the account changes.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Literal

import httpx
import pytest
from redis.asyncio import Redis

from tests.issuer.conftest import CountingHasher
from tests.issuer.http.conftest import CONFIG, Issuer, bearer
from tests.issuer.http.exchange_services import Services, open_services, refused
from tests.issuer.http.test_private_key_jwt import KEY, assertion, credentials
from tests.support.keys import public_jwk
from tocsin_issuer.store import names
from tocsin_issuer.store.account_endings import AccountEndings
from tocsin_issuer.store.passwords import Passwords
from tocsin_issuer.store.register import Registration

PASSWORD = "correct horse"


class Gate(CountingHasher):
    """Verifies a password, and stands still before it says so, while it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()
        self.open = threading.Event()
        self.open.set()

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
        verified = super().verify(hash, password)
        self.reached.set()
        assert self.open.wait(10)
        return verified


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def issuer(redis: Redis, gate: Gate) -> AsyncIterator[Issuer]:
    issuer = Issuer(redis, gate, CONFIG)
    yield issuer
    await issuer.aclose()


@pytest.fixture
def accounts(issuer: Issuer, hasher: CountingHasher) -> AccountEndings:
    return AccountEndings(
        issuer.redis,
        issuer.outbox,
        Passwords(hasher),
        max_token_life_s=CONFIG.max_token_life_s,
        session_absolute_s=CONFIG.session_absolute_s,
    )


Change = Callable[[Issuer, AccountEndings, str], Awaitable[object]]


async def disabled_and_enabled(issuer: Issuer, accounts: AccountEndings, sub: str) -> None:
    await accounts.disable_user(sub)
    await issuer.users.set_disabled(sub, False)


async def deleted_and_forgotten(issuer: Issuer, accounts: AccountEndings, sub: str) -> None:
    """No epoch says so: the user alone is gone."""
    await issuer.users.delete(sub)


async def of_somebody_else(issuer: Issuer, accounts: AccountEndings, sub: str) -> None:
    await accounts.delete_user(await issuer.users.create("bob", PASSWORD))


CHANGES: dict[str, Change] = {
    "password changed": lambda _, accounts, sub: accounts.change_password(sub, "another"),
    "same password again": lambda _, accounts, sub: accounts.change_password(sub, PASSWORD),
    "disabled": lambda _, accounts, sub: accounts.disable_user(sub),
    "disabled and enabled": disabled_and_enabled,
    "deleted": lambda _, accounts, sub: accounts.delete_user(sub),
    "forgotten": deleted_and_forgotten,
    "logged out everywhere": lambda issuer, _, sub: issuer.context.cutoffs.subject(
        sub, "logout-all", "user"
    ),
}


async def log_in_across(issuer: Issuer, gate: Gate, change: Awaitable[object]) -> httpx.Response:
    """A login whose good password is looked at before the change, and answered after it."""
    gate.reached.clear()
    gate.open.clear()
    body = {"username": "alice", "password": PASSWORD}
    login = asyncio.create_task(issuer.public.post("/v1/login", json=body))
    try:
        assert await asyncio.to_thread(gate.reached.wait, 10)
        await change
    finally:
        gate.open.set()
    return await login


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_a_login_ends_with_the_password_that_it_showed(
    issuer: Issuer, accounts: AccountEndings, gate: Gate, change: Change
) -> None:
    sub = await issuer.alice()
    wrong = await issuer.public.post("/v1/login", json={"username": "alice", "password": "wrong"})
    answer = await log_in_across(issuer, gate, change(issuer, accounts, sub))
    assert (answer.status_code, answer.text) == (401, wrong.text)
    assert await issuer.redis.keys(names.SESSION + "*") == [], "no session is left behind"


async def test_a_login_that_nothing_concerns(
    issuer: Issuer, accounts: AccountEndings, gate: Gate
) -> None:
    """Others change, and whoever was logged out everywhere before may log in."""
    sub = await issuer.alice()
    await issuer.context.cutoffs.subject(sub, "logout-all", "user")
    answer = await log_in_across(issuer, gate, of_somebody_else(issuer, accounts, sub))
    assert answer.status_code == 200
    listed = await issuer.public.get("/v1/sessions", headers=bearer(answer.json()["access_token"]))
    assert len(listed.json()["sessions"]) == 1


# --- clients ----------------------------------------------------------------------------------


@pytest.fixture
async def services(issuer: Issuer) -> AsyncIterator[Services]:
    async with open_services(issuer) as services:
        yield services


def before_minting(
    monkeypatch: pytest.MonkeyPatch, issuer: Issuer, change: Callable[[], Awaitable[object]]
) -> None:
    """The next token that is asked for waits until that has been done."""
    mint = issuer.register.mint

    async def changed_first(wanted: Registration) -> int:
        monkeypatch.undo()
        await change()
        return await mint(wanted)

    monkeypatch.setattr(issuer.register, "mint", changed_first)


OF_CLIENTS: dict[str, Change] = {
    "secret rotated": lambda _, accounts, name: accounts.rotate_client_secret(name),
    "keys in its place": lambda _, accounts, name: accounts.replace_client_keys(
        name, {"keys": [public_jwk(KEY)]}
    ),
    "disabled": lambda _, accounts, name: accounts.disable_client(name),
}


@pytest.mark.parametrize("change", OF_CLIENTS.values(), ids=OF_CLIENTS)
async def test_a_token_of_a_client_ends_with_what_it_showed(
    issuer: Issuer, accounts: AccountEndings, monkeypatch: pytest.MonkeyPatch, change: Change
) -> None:
    await issuer.clients.create_with_keys("reports", ["orders"], jwks={"keys": [public_jwk(KEY)]})
    secret = await issuer.clients.create("payments", ["orders"])
    for name, form in (
        ("reports", credentials(assertion())),
        ("payments", {"client_id": "payments", "client_secret": secret}),
    ):
        before_minting(monkeypatch, issuer, partial(change, issuer, accounts, name))
        form = {"grant_type": "client_credentials", **form}
        answer = await issuer.public.post("/oauth/token", data=form)
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client"), name


async def test_what_is_not_of_the_credentials_ends_no_request(
    issuer: Issuer, accounts: AccountEndings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither another client's, nor a cutoff, of which the new token keeps clear by its time."""
    secret = await issuer.clients.create("payments", ["orders"])
    secret, _ = await accounts.rotate_client_secret("payments")
    await issuer.clients.create("reports", ["orders"])
    for change in (
        lambda: accounts.rotate_client_secret("reports"),
        lambda: issuer.context.cutoffs.client("payments", "test", "admin"),
    ):
        before_minting(monkeypatch, issuer, change)
        form = {"grant_type": "client_credentials"}
        answer = await issuer.public.post("/oauth/token", data=form, auth=("payments", secret))
        assert answer.status_code == 200


@pytest.mark.parametrize("audience", ["inventory", "search"])
async def test_an_exchange_ends_with_what_the_client_showed(
    services: Services, accounts: AccountEndings, monkeypatch: pytest.MonkeyPatch, audience: str
) -> None:
    """Be a token issued, or the caller's own handed back."""
    subject = await services.minter.mint("bob", "first-party", ["orders", "search"])
    before_minting(
        monkeypatch, services.issuer, lambda: accounts.rotate_client_secret("orders-service")
    )
    answer = await services.ask(subject.token, audience=audience)
    assert await refused(answer) == (401, "invalid_client")
