"""Logins: one answer and one hash for every failure, and a lock that a burst cannot outrun."""

import asyncio

import pytest
from argon2 import PasswordHasher
from redis.asyncio import Redis

from tests.issuer.conftest import CountingHasher
from tocsin_issuer.store import names
from tocsin_issuer.store.passwords import Passwords
from tocsin_issuer.store.users import AuthenticatedUser, UserStore
from tocsin_schemas.errors import RequestRejected

MAX_FAILURES = 5
LOCK_S = 30


@pytest.fixture
def users(redis: Redis, hasher: CountingHasher) -> UserStore:
    return UserStore(redis, Passwords(hasher), max_failures=MAX_FAILURES, lock_s=LOCK_S)


async def test_a_user_is_an_opaque_sub_with_a_role(redis: Redis, users: UserStore) -> None:
    sub = await users.create("Alice", "correct horse", role="admin", perms=["orders:read"])
    assert "alice" not in sub.lower()
    user = AuthenticatedUser(sub, "admin", ("orders:read",))
    assert await users.authenticate("alice", "correct horse") == user
    assert await users.authenticate("ＡLICE", "correct horse") == user, "one name in any width"
    assert await users.find(sub) == user
    assert await users.sub_of("ALICE") == sub
    assert "correct horse" not in str(await redis.hgetall(names.USER + sub))


async def test_every_failure_costs_one_hash(
    redis: Redis, users: UserStore, hasher: CountingHasher
) -> None:
    await users.create("alice", "right")
    disabled = await users.create("bob", "right")
    await users.set_disabled(disabled, True)
    await users.create("carol", "right")
    for _ in range(MAX_FAILURES):
        await users.authenticate("carol", "wrong")
    for name, password in [
        ("alice", "wrong"),
        ("nobody", "right"),
        ("bob", "right"),
        ("carol", "right"),
        ("carol", "wrong"),
    ]:
        before = hasher.verified
        assert await users.authenticate(name, password) is None
        assert hasher.verified == before + 1, name


async def test_a_lock_ends_by_itself_and_is_not_prolonged(redis: Redis, users: UserStore) -> None:
    await users.create("alice", "right")
    for _ in range(MAX_FAILURES):
        assert await users.authenticate("alice", "wrong") is None
    (key,) = await redis.keys(names.LOGIN_ATTEMPTS + "*")
    assert "alice" not in str(key)
    await redis.expire(key, 7)
    for _ in range(3):
        assert await users.authenticate("alice", "right") is None
    assert 0 < await redis.ttl(key) <= 7
    await redis.delete(key)  # as if the time had passed
    assert await users.authenticate("alice", "right") is not None


async def test_a_success_forgets_the_failures(users: UserStore) -> None:
    await users.create("alice", "right")
    for _ in range(3):
        for _ in range(MAX_FAILURES - 1):
            assert await users.authenticate("alice", "wrong") is None
        assert await users.authenticate("alice", "right") is not None


async def test_a_burst_of_guesses_does_not_outrun_the_count(users: UserStore) -> None:
    await users.create("alice", "guess 30")
    guesses = [users.authenticate("alice", f"guess {i}") for i in range(40)]
    assert await asyncio.gather(*guesses) == [None] * 40


async def test_a_name_nobody_has_is_counted_too(redis: Redis, users: UserStore) -> None:
    for _ in range(MAX_FAILURES + 2):
        await users.authenticate("nobody", "x")
    (key,) = await redis.keys(names.LOGIN_ATTEMPTS + "*")
    assert 0 < await redis.ttl(key) <= LOCK_S


async def test_an_old_hash_is_renewed_at_login(redis: Redis, users: UserStore) -> None:
    old = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1).hash("right")
    sub = await users.create("alice", "right")
    await redis.hset(names.USER + sub, "password", old)
    assert await users.authenticate("alice", "wrong") is None
    assert await redis.hget(names.USER + sub, "password") == old
    assert await users.authenticate("alice", "right") is not None
    renewed = await redis.hget(names.USER + sub, "password")
    assert renewed != old
    assert await users.authenticate("alice", "right") is not None


async def test_names_and_passwords_that_are_refused(users: UserStore) -> None:
    await users.create("alice", "right")
    for name, password, code in [
        ("ALICE", "right", "username_taken"),
        ("", "right", "username_invalid"),
        ("a" * 129, "right", "username_invalid"),
        ("a\nb", "right", "username_invalid"),
        ("bob", "", "password_invalid"),
        ("bob", "x" * 1025, "password_invalid"),
    ]:
        with pytest.raises(RequestRejected) as caught:
            await users.create(name, password)
        assert caught.value.code == code
    assert await users.authenticate("alice", "right") is not None


async def test_changes_show_at_once(users: UserStore) -> None:
    sub = await users.create("alice", "right", perms=["a"])
    await users.set_access(sub, "viewer", ["b"])
    assert await users.find(sub) == AuthenticatedUser(sub, "viewer", ("b",))
    await users.set_password(sub, "new")
    assert await users.authenticate("alice", "right") is None
    assert await users.authenticate("alice", "new") is not None
    await users.set_disabled(sub, True)
    assert await users.find(sub) is None
    await users.set_disabled(sub, False)
    await users.delete(sub)
    assert await users.find(sub) is None
    assert await users.sub_of("alice") is None
    with pytest.raises(RequestRejected, match="no such user"):
        await users.set_disabled(sub, True)
    assert await users.find(sub) is None


async def test_a_flood_of_logins_is_turned_away(redis: Redis, users: UserStore) -> None:
    answers = await asyncio.gather(
        *(users.authenticate(f"user {i}", "x") for i in range(300)), return_exceptions=True
    )
    codes = {one.code for one in answers if isinstance(one, RequestRejected)}
    assert codes <= {"busy"}
    assert answers.count(None) >= 64
