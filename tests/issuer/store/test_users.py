"""Users, and logins: the same work for every failure."""

import asyncio
from typing import Literal

import pytest
from argon2 import Parameters, PasswordHasher, extract_parameters
from redis.asyncio import Redis

from tests.issuer.conftest import CountingHasher
from tocsin_issuer.store import names
from tocsin_issuer.store.passwords import Passwords
from tocsin_issuer.store.users import AuthenticatedUser, UserStore
from tocsin_schemas.errors import RequestRejected


@pytest.fixture
def users(redis: Redis, hasher: CountingHasher) -> UserStore:
    return UserStore(redis, Passwords(hasher))


async def test_a_user_is_an_opaque_sub_with_a_role(redis: Redis, users: UserStore) -> None:
    sub = await users.create("Alice", "correct horse", role="admin", perms=["orders:read"])
    assert "alice" not in sub.lower()
    user = AuthenticatedUser(sub, "admin", ("orders:read",))
    assert await users.authenticate("alice", "correct horse") == user
    assert await users.authenticate("ＡLICE", "correct horse") == user, "one name in any width"
    assert await users.find(sub) == user
    assert await users.sub_of("ALICE") == sub
    assert "correct horse" not in str(await redis.hgetall(names.USER + sub))


class RecordingHasher(PasswordHasher):
    """argon2 as it is in production, and what each verification had to work through."""

    def __init__(self) -> None:
        super().__init__()
        self.work: list[Parameters] = []

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
        self.work.append(extract_parameters(str(hash)))
        return super().verify(hash, password)


async def test_every_failure_costs_the_same_work(redis: Redis) -> None:
    """Counted and not measured: the hashes by their parameters, the commands to Redis by name."""
    hasher = RecordingHasher()
    users = UserStore(redis, Passwords(hasher))
    await users.create("alice", "right")
    await users.set_disabled(await users.create("bob", "right"), True)
    deleted = await users.create("carol", "right")
    await users.delete(deleted)
    costs = []
    for name, password in [
        ("alice", "wrong"),
        ("nobody", "right"),
        ("bob", "right"),
        ("bob", "wrong"),
        ("carol", "right"),
    ]:
        hasher.work.clear()
        await redis.config_resetstat()
        assert await users.authenticate(name, password) is None
        stats = await redis.info("commandstats")
        calls = {command: stats[command]["calls"] for command in stats}
        del calls["cmdstat_config|resetstat"]
        costs.append((list(hasher.work), calls))
    default = PasswordHasher()
    assert [(one.time_cost, one.memory_cost, one.parallelism) for one in costs[0][0]] == [
        (default.time_cost, default.memory_cost, default.parallelism)
    ]
    assert all(cost == costs[0] for cost in costs)


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
