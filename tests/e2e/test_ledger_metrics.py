"""Metrics of the ledger, the outbox and the keys: each moves when the thing happens."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.e2e.ceremonies import hold_one
from tests.e2e.conftest import LEASE_S, Stack
from tests.support.ledger import publish, signed_keyset
from tests.support.scrape import PREFIX, scrape, seen_when
from tocsin_issuer.store.connection import connect as connect_redis
from tocsin_issuer.store.outbox import Outbox
from tocsin_revocation_bus.jetstream.connection import BusAddress
from tocsin_revocation_bus.jetstream.connection import connect as connect_bus
from tocsin_schemas.subjects import HEARTBEAT

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


@pytest.fixture
async def redis(stack: Stack) -> AsyncIterator[Redis]:
    settings = stack.development.service._settings  # pyright: ignore[reportPrivateUsage]
    client = connect_redis(settings.redis_url)
    yield client
    await client.aclose()


async def log_out(stack: Stack, expected: int) -> None:
    login = await stack.log_in()
    answer = await stack.post("/v1/logout", login["access_token"])
    assert answer.status_code == expected


async def test_a_commit(stack: Stack) -> None:
    await seen_when(stack, lambda seen: seen("live", reason="") == 1)
    before = await scrape(stack)
    await log_out(stack, 200)
    after = await scrape(stack)
    assert after("head") == before("head") + 1
    head = stack.development.service.replica.head
    assert head is not None
    assert (after("head_term"), after("head")) == (head.term, head.n)
    assert after("records_committed_total") == before("records_committed_total") + 1
    assert after("events_committed_total", kind="keyset-published") == 1
    assert before("events_committed_total", kind="sessions-revoked") == 0
    assert after("events_committed_total", kind="sessions-revoked") == 1
    assert after("commit_seconds_count") == before("commit_seconds_count") + 1
    assert after("commit_seconds_bucket", le="10.0") == after("commit_seconds_count")
    assert 0 <= after("commit_seconds_sum") - before("commit_seconds_sum") < 5
    assert after("outbox_entries") == after("outbox_oldest_seconds") == 0


async def test_nats_does_not_answer(stack: Stack) -> None:
    before = await seen_when(stack, lambda seen: seen("live", reason="") == 1)
    stack.nats.pause()
    try:
        await log_out(stack, 202)
        stuck = await seen_when(stack, lambda seen: seen("heartbeat_age_seconds") > LEASE_S + 1)
        assert stuck("outbox_entries") == 1
        assert LEASE_S < stuck("outbox_oldest_seconds") < 30
        assert stuck("live", reason="") == 0
        assert stuck.has("live")
        assert stuck("commit_seconds_count") == before("commit_seconds_count")
    finally:
        stack.nats.resume()
    after = await seen_when(stack, lambda seen: seen("outbox_entries") == 0)
    assert after("commit_seconds_count") == before("commit_seconds_count") + 1
    assert after("commit_seconds_bucket", le="1.0") == before("commit_seconds_bucket", le="1.0")
    assert after("commit_seconds_sum") - before("commit_seconds_sum") > LEASE_S
    await seen_when(stack, lambda seen: 0 <= seen("heartbeat_age_seconds") < 1)


async def test_redis_does_not_answer(stack: Stack, redis: Redis) -> None:
    before = await scrape(stack)
    assert before("store_answers") == 1
    await redis.client_pause(4000)
    asked = time.monotonic()
    without = await scrape(stack)
    assert time.monotonic() - asked < 4
    assert without("store_answers") == 0
    assert not without.has("outbox_entries")
    assert without("head") == before("head")
    await seen_when(stack, lambda seen: seen("store_answers") == 1 and seen.has("outbox_entries"))


async def test_somebody_else_has_appended(stack: Stack) -> None:
    before = await seen_when(stack, lambda seen: seen("sequencer_active") == 1)
    assert before("sequencer_step_downs_total") == 0
    address = BusAddress((stack.nats.url,), stack.nats.core_credentials)
    client = await connect_bus(address, name="test")
    await client.publish(HEARTBEAT, b"the stream has moved on")
    await client.close()
    fenced = await seen_when(stack, lambda seen: seen("sequencer_active") == 0)
    assert fenced("sequencer_step_downs_total") == 1
    assert not fenced.has("heartbeat_age_seconds"), "a standby has none of its own"
    again = await seen_when(stack, lambda seen: seen("sequencer_active") == 1)
    assert again("sequencer_step_downs_total") == 1
    assert 0 <= again("heartbeat_age_seconds") < 5


async def test_what_no_verifier_would_take(stack: Stack, redis: Redis) -> None:
    assert (await scrape(stack))("outbox_rejected_entries") == 0
    await Outbox(redis).emit(publish(signed_keyset()))  # of another issuer
    await seen_when(stack, lambda seen: seen("outbox_rejected_entries") == 1)


async def test_the_keyset_and_the_last_signing_window(stack: Stack) -> None:
    replica = stack.development.service.replica
    old = replica.trust.keyset
    seen = await scrape(stack)
    assert old is not None
    assert seen("keyset_expires_timestamp_seconds") == old.expires_at
    assert seen("signing_ends_timestamp_seconds") == max(
        key.sign_until for key in old.keys if key.use == "token"
    )
    assert not seen.has("key_notices")

    await asyncio.sleep(old.issued_at + 1.5 - time.time())  # keysets are dated in whole seconds
    keyset = await hold_one(stack, {"rotations": 2})
    tokens = sorted((key for key in keyset.keys if key.use == "token"), key=lambda k: k.sign_until)
    seen = await seen_when(
        stack, lambda seen: seen("signing_ends_timestamp_seconds") == tokens[-1].sign_until
    )
    assert seen("keyset_expires_timestamp_seconds") == keyset.expires_at > old.expires_at

    folder = stack.folder / ".tocsin" / "issuer" / "keys"
    (lost,) = folder.glob(f"{tokens[-1].kid}*")
    lost.rename(folder.parent / lost.name)
    seen = await seen_when(stack, lambda seen: seen("key_notices", code="key_missing") == 1)
    assert seen("signing_ends_timestamp_seconds") == tokens[-2].sign_until
    (folder.parent / lost.name).rename(lost)
    await seen_when(stack, lambda seen: not seen.has("key_notices"))


async def test_the_page_names_every_metric(stack: Stack) -> None:
    seen = await seen_when(stack, lambda seen: seen.has("heartbeat_age_seconds"))
    served = {name.removeprefix(PREFIX) for name in re.findall(r"# TYPE (\w+)", seen.text)}
    rows = re.findall(r"^\| (`.+?) \|", PAGE.read_text(), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([a-z_]+)[`{]", row)}
    assert served == named
