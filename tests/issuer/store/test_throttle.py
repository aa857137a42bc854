"""Who fails too often waits, longer each time; whose account it is does not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from tocsin_issuer.config import IssuerConfig
from tocsin_issuer.store import names
from tocsin_issuer.store.throttle import Throttle, Throttled

HOME, OFFICE, ELSEWHERE = "192.0.2.1", "192.0.2.2", "198.51.100."
CONFIG = IssuerConfig(
    iss="https://issuer.example",
    default_audiences=("orders",),
    login_failures=3,
    login_account_failures=5,
    login_address_failures=7,
    login_lock_s=60,
    login_longest_lock_s=900,
)


@pytest.fixture
def throttle(redis: Redis) -> Throttle:
    return Throttle(redis, CONFIG)


async def wait_s(throttle: Throttle, name: str, source: str) -> int:
    """Fail once: 0, or how long one is told to wait."""
    try:
        await throttle.begin_login(name, source)
    except Throttled as throttled:
        return throttled.retry_after
    return 0


async def fail(throttle: Throttle, times: int, name: str, source: str) -> None:
    for _ in range(times):
        assert await wait_s(throttle, name, source) == 0


async def pauses_end(redis: Redis) -> None:
    """As if every pause were over; failures are still remembered."""
    async for key in redis.scan_iter(names.THROTTLE + "*"):
        await redis.hdel(key, "until")


def near(found: int, wanted: int) -> bool:
    return wanted - 2 <= found <= wanted


async def test_each_failure_beyond_the_free_ones_doubles_the_wait(
    redis: Redis, throttle: Throttle
) -> None:
    await fail(throttle, 3, "alice", HOME)
    for pause in (60, 120, 240, 480, 900, 900):
        assert near(await wait_s(throttle, "alice", HOME), pause)
        await pauses_end(redis)
        await fail(throttle, 1, "alice", HOME)


async def test_asking_while_one_waits_changes_nothing(redis: Redis, throttle: Throttle) -> None:
    await fail(throttle, 3, "alice", HOME)
    before = await snapshot(redis)
    for _ in range(10):
        assert await wait_s(throttle, "alice", HOME) > 0
    assert await snapshot(redis) == before


async def snapshot(redis: Redis) -> dict[str, Any]:
    return {key: await redis.hgetall(key) async for key in redis.scan_iter(names.THROTTLE + "*")}


async def test_a_pause_ends_by_itself(throttle: Throttle, redis: Redis) -> None:
    quick = Throttle(redis, CONFIG.model_copy(update={"login_lock_s": 1}))
    await fail(quick, 3, "alice", HOME)
    assert await wait_s(quick, "alice", HOME) == 1
    await asyncio.sleep(1.05)
    assert await wait_s(quick, "alice", HOME) == 0


async def test_another_account_and_another_source_are_free(throttle: Throttle) -> None:
    await fail(throttle, 3, "alice", HOME)
    assert await wait_s(throttle, "bob", HOME) == 0
    assert await wait_s(throttle, "alice", OFFICE) == 0


async def test_one_source_with_many_names(throttle: Throttle) -> None:
    for i in range(7):
        await fail(throttle, 1, f"user {i}", HOME)
    assert await wait_s(throttle, "one more", HOME) > 0
    assert await wait_s(throttle, "one more", OFFICE) == 0


async def test_guesses_from_everywhere_do_not_lock_the_owner_out(throttle: Throttle) -> None:
    await throttle.succeeded(await throttle.begin_login("alice", HOME))
    for i in range(5):
        await fail(throttle, 1, "alice", f"{ELSEWHERE}{i}")
    assert await wait_s(throttle, "alice", ELSEWHERE + "99") > 0
    assert await wait_s(throttle, "alice", HOME) == 0
    assert await wait_s(throttle, "bob", ELSEWHERE + "99") == 0


async def test_failures_at_a_known_source_do_not_close_the_account(throttle: Throttle) -> None:
    for source in (HOME, OFFICE):
        await throttle.succeeded(await throttle.begin_login("alice", source))
    for source in (HOME, OFFICE):
        await fail(throttle, 3, "alice", source)
    assert await wait_s(throttle, "alice", ELSEWHERE + "1") == 0


async def test_a_success_forgets_the_account_s_failures_there(throttle: Throttle) -> None:
    for _ in range(3):
        await fail(throttle, 2, "alice", HOME)
        await throttle.succeeded(await throttle.begin_login("alice", HOME))
    await fail(throttle, 1, "bob", HOME)
    assert await wait_s(throttle, "bob", HOME) > 0, "but the source has failed seven times"


async def test_a_success_counts_nowhere(redis: Redis, throttle: Throttle) -> None:
    for i in range(20):
        await throttle.succeeded(await throttle.begin_login(f"user {i}", HOME))
    assert await snapshot(redis) == {}


async def test_what_nobody_looked_at_counts_nowhere(redis: Redis, throttle: Throttle) -> None:
    for _ in range(20):
        await throttle.withdraw(await throttle.begin_login("alice", HOME))
    assert await snapshot(redis) == {}


async def test_a_good_login_does_not_open_what_a_guess_has_closed(throttle: Throttle) -> None:
    """An attacker with an account of their own logs in to it beside each guess."""
    for i in range(6):
        await fail(throttle, 1, f"user {i}", HOME)
    own = await throttle.begin_login("mallory", HOME)  # the seventh, which closes
    await throttle.succeeded(own)
    own = await throttle.begin_login("mallory", OFFICE)
    for i in range(6):
        await fail(throttle, 1, f"user {i}", OFFICE)
    await throttle.succeeded(own)
    assert await wait_s(throttle, "user 9", HOME) == 0, "it was closed by the good login alone"
    assert await wait_s(throttle, "user 9", OFFICE) > 0


async def test_a_burst_does_not_outrun_the_count(throttle: Throttle) -> None:
    waits = await asyncio.gather(*(wait_s(throttle, "alice", HOME) for _ in range(40)))
    assert waits.count(0) == 3


async def test_clients_wait_too_each_source_for_itself(throttle: Throttle) -> None:
    for _ in range(7):
        await throttle.client_failed(HOME)
    with pytest.raises(Throttled):
        await throttle.client_failed(HOME)
    await throttle.client_failed(OFFICE)
    assert await wait_s(throttle, "alice", HOME) == 0


async def test_every_key_ends_and_names_nobody(redis: Redis, throttle: Throttle) -> None:
    await fail(throttle, 3, "alice", HOME)
    await throttle.succeeded(await throttle.begin_login("bob", OFFICE))
    await throttle.client_failed(HOME)
    keys = await redis.keys("*")
    assert len(keys) == 5
    for key in keys:
        assert 0 < await redis.ttl(key) <= 30 * 24 * 3600
        assert not any(text in str(key) for text in ("alice", "bob", HOME, OFFICE))
