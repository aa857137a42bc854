"""What an operator does to an account stands in the outbox before the account changes."""

from collections.abc import Awaitable, Callable

import orjson
import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from tests.issuer.conftest import CountingHasher
from tests.issuer.store.conftest import ABSOLUTE_S, BOUND_S, MAX_TOKEN_LIFE_S
from tests.issuer.store.helpers import events_in, mint, only_event, server_time
from tocsin_issuer.keys.signer import generate
from tocsin_issuer.store import names
from tocsin_issuer.store.account_endings import AccountEndings
from tocsin_issuer.store.account_list import ALL_USERS
from tocsin_issuer.store.clients import ClientStore
from tocsin_issuer.store.cutoffs import Cutoffs
from tocsin_issuer.store.outbox import Outbox
from tocsin_issuer.store.passwords import Passwords
from tocsin_issuer.store.register import Register
from tocsin_issuer.store.sessions import SessionStore
from tocsin_issuer.store.users import UserStore
from tocsin_schemas.errors import RequestRejected
from tocsin_schemas.events import ClientRevokedBefore, SubjectRevokedBefore


@pytest.fixture
def passwords(hasher: CountingHasher) -> Passwords:
    return Passwords(hasher)


@pytest.fixture
def users(redis: Redis, passwords: Passwords) -> UserStore:
    return UserStore(redis, passwords)


@pytest.fixture
def clients(redis: Redis) -> ClientStore:
    return ClientStore(redis)


@pytest.fixture
def endings(redis: Redis, outbox: Outbox, passwords: Passwords) -> AccountEndings:
    return AccountEndings(
        redis,
        outbox,
        passwords,
        max_token_life_s=MAX_TOKEN_LIFE_S,
        session_absolute_s=ABSOLUTE_S,
    )


KEYS = {"keys": [generate("ES256").public.jwk]}
OF_USERS: list[tuple[str, Callable[[AccountEndings, str], Awaitable[object]]]] = [
    ("user-disabled", lambda endings, sub: endings.disable_user(sub)),
    ("password-changed", lambda endings, sub: endings.change_password(sub, "new")),
    ("user-deleted", lambda endings, sub: endings.delete_user(sub)),
]
OF_CLIENTS: list[tuple[str, Callable[[AccountEndings, str], Awaitable[object]]]] = [
    ("client-disabled", lambda endings, name: endings.disable_client(name)),
    ("client-secret-rotated", lambda endings, name: endings.rotate_client_secret(name)),
    ("client-keys-replaced", lambda endings, name: endings.replace_client_keys(name, KEYS)),
]


@pytest.mark.parametrize(("reason", "end"), OF_USERS, ids=[one[0] for one in OF_USERS])
async def test_a_user(
    redis: Redis,
    users: UserStore,
    sessions: SessionStore,
    register: Register,
    outbox: Outbox,
    endings: AccountEndings,
    reason: str,
    end: Callable[[AccountEndings, str], Awaitable[object]],
) -> None:
    sub = await users.create("alice", "right")
    session = await sessions.create(sub, "app", ["orders"])
    _, iat = await mint(register, sub, sid=session.sid)
    await end(endings, sub)
    event = await only_event(outbox, SubjectRevokedBefore)
    assert (event.sub, event.reason, event.initiator) == (sub, reason, "admin")
    assert iat < event.before <= await server_time(redis) + 2
    assert event.until == event.before + MAX_TOKEN_LIFE_S + 30
    assert outbox.wake.is_set()
    with pytest.raises(RequestRejected):
        await sessions.refresh(session.refresh_token, bound_s=BOUND_S)
    with pytest.raises(RequestRejected, match="no token"):
        await mint(register, sub, sid=session.sid)
    assert await users.authenticate("alice", "right") is None
    if reason == "password-changed":
        assert await users.authenticate("alice", "new") is not None
        _, later = await mint(register, sub)
        assert later >= event.before
    if reason == "user-deleted":
        assert await users.sub_of("alice") is None
        assert not await redis.exists(names.USER + sub, ALL_USERS)
        await users.create("alice", "again")


@pytest.mark.parametrize(("reason", "end"), OF_CLIENTS, ids=[one[0] for one in OF_CLIENTS])
async def test_a_client(
    redis: Redis,
    clients: ClientStore,
    register: Register,
    sessions: SessionStore,
    outbox: Outbox,
    endings: AccountEndings,
    reason: str,
    end: Callable[[AccountEndings, str], Awaitable[object]],
) -> None:
    secret = await clients.create("reports", ["orders"])
    keys = orjson.dumps({"keys": [{**generate("ES256").public.jwk, "kid": "k"}]}).decode()
    await redis.hset(names.CLIENT + "reports", "jwks", keys)
    assert await clients.find_with_keys("reports") is not None
    _, iat = await mint(register, "reports", "reports")
    session = await sessions.create("alice", "reports", ["orders"])
    answer = await end(endings, "reports")
    event = await only_event(outbox, ClientRevokedBefore)
    assert (event.client_id, event.reason, event.initiator) == ("reports", reason, "admin")
    assert iat < event.before
    assert await clients.authenticate("reports", secret) is None
    if isinstance(answer, tuple):
        assert await clients.find_with_keys("reports") is None
        assert await clients.authenticate("reports", answer[0]) is not None
        assert (await mint(register, "reports", "reports"))[1] >= event.before
    if reason == "client-disabled":
        with pytest.raises(RequestRejected):
            await mint(register, "reports", "reports")
        await clients.set_disabled("reports", False)
    with pytest.raises(RequestRejected, match="refresh token is not valid"):
        await sessions.refresh(session.refresh_token, bound_s=BOUND_S, authenticated=True)


async def test_nobody(endings: AccountEndings, outbox: Outbox) -> None:
    for call in (
        endings.disable_user("nobody"),
        endings.change_password("nobody", "new"),
        endings.disable_client("nobody"),
        endings.rotate_client_secret("nobody"),
    ):
        with pytest.raises(RequestRejected) as caught:
            await call
        assert (caught.value.code, caught.value.status) == ("account_unknown", 404)
    with pytest.raises(RequestRejected, match="empty or too long"):
        await endings.change_password("nobody", "")
    assert await events_in(outbox) == []


async def test_deleting_again_revokes_again(
    users: UserStore, endings: AccountEndings, outbox: Outbox
) -> None:
    sub = await users.create("alice", "right")
    await endings.delete_user(sub)
    await endings.delete_user(sub)
    first, second = await events_in(outbox)
    assert isinstance(first, SubjectRevokedBefore)
    assert isinstance(second, SubjectRevokedBefore)
    assert first.before <= second.before


async def test_an_account_stays_as_it_is_where_the_outbox_refuses(
    redis: Redis, users: UserStore, clients: ClientStore, endings: AccountEndings
) -> None:
    sub = await users.create("alice", "right")
    secret = await clients.create("reports", ["orders"])
    await redis.set(names.OUTBOX, "not a stream")
    for _, end in OF_USERS:
        with pytest.raises(ResponseError, match="TOCSIN"):
            await end(endings, sub)
    for _, end in OF_CLIENTS:
        with pytest.raises(ResponseError, match="TOCSIN"):
            await end(endings, "reports")
    assert await users.authenticate("alice", "right") is not None
    assert await clients.authenticate("reports", secret) is not None


async def test_a_user_who_logs_out_over_and_over_keeps_no_operator_out(
    register: Register, users: UserStore, cutoffs: Cutoffs, endings: AccountEndings
) -> None:
    sub = await users.create("alice", "right")
    with pytest.raises(RequestRejected, match="too many cutoffs"):
        for _ in range(20):
            await cutoffs.subject(sub, "logout-all", "user")
            await mint(register, sub)
    await endings.disable_user(sub)
    assert await users.find(sub) is None


async def test_too_many_at_once(
    users: UserStore, register: Register, endings: AccountEndings
) -> None:
    sub = await users.create("alice", "right")
    with pytest.raises(RequestRejected) as caught:
        for _ in range(20):
            await endings.change_password(sub, "new")
            await mint(register, sub)
    assert (caught.value.code, caught.value.status) == ("cutoff_ahead", 429)
