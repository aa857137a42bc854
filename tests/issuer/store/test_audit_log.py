"""The audit log: bounded, in pages, and what was done is not pushed out by what was refused."""

import logging
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from tocsin_issuer.audit_entry import PENDING, AuditEntry
from tocsin_issuer.logs import FIELDS
from tocsin_issuer.store import names
from tocsin_issuer.store.audit_log import ACTS, LOGGER, REFUSALS, AuditLog
from tocsin_schemas.errors import RequestRejected

MAX_ENTRIES = 1000


@pytest.fixture
async def log(redis: Redis) -> AsyncIterator[AuditLog]:
    log = AuditLog(redis, max_entries=MAX_ENTRIES)
    yield log
    await log.aclose()


def entry(number: int = 1, outcome: str = "ok") -> AuditEntry:
    return AuditEntry(time_ms=number, action="login", outcome=outcome, actor=f"u_{number}")


async def test_an_entry_is_stored_when_it_is_written(log: AuditLog) -> None:
    await log.write(AuditEntry(time_ms=5, action="revocation", outcome=PENDING, target="t"))
    page = await log.page(ACTS, 10)
    assert page.entries == (
        {"time_ms": 5, "action": "revocation", "outcome": "pending", "target": "t"},
    )
    assert page.cursor == ""


async def test_pages_newest_first(log: AuditLog) -> None:
    for number in range(1, 8):
        log.note(entry(number))
    await log.aclose()
    seen: list[int] = []
    cursor = ""
    while True:
        page = await log.page(ACTS, 3, cursor)
        seen += [one["time_ms"] for one in page.entries]
        cursor = page.cursor
        if not cursor:
            break
    assert seen == [7, 6, 5, 4, 3, 2, 1]


@pytest.mark.parametrize("cursor", ["x", "1", "1-", "-1", "1-x", "9" * 20 + "-0", "1-0-0", "(1-0"])
async def test_a_cursor_that_is_none(log: AuditLog, cursor: str) -> None:
    with pytest.raises(RequestRejected) as caught:
        await log.page(ACTS, 3, cursor)
    assert caught.value.code == "cursor_invalid"


async def test_refusals_do_not_push_out_what_was_done(redis: Redis, log: AuditLog) -> None:
    await log.write(entry(1))
    for _ in range(3):
        for number in range(MAX_ENTRIES):
            log.note(entry(number, "invalid_grant"))
        await log.aclose()
    assert len((await log.page(ACTS, 10)).entries) == 1
    kept = await redis.xlen(names.AUDIT_LOG + REFUSALS)
    assert MAX_ENTRIES <= kept < 1.5 * MAX_ENTRIES  # the server cuts whole blocks off


async def test_each_entry_is_a_line_of_the_log(
    log: AuditLog, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    await log.write(entry(3, "invalid_grant"))
    (record,) = (one for one in caplog.records if one.name == LOGGER)
    members = {"time_ms": 3, "action": "login", "outcome": "invalid_grant", "actor": "u_3"}
    assert vars(record)[FIELDS] == members
    assert record.getMessage() == "login: invalid_grant"


async def test_a_store_that_fails_stops_nobody(
    redis: Redis, log: AuditLog, caplog: pytest.LogCaptureFixture
) -> None:
    """What was done is done; the line remains, and the log says that the stream lacks it."""
    await redis.set(names.AUDIT_LOG + ACTS, "no stream")
    caplog.set_level(logging.INFO)
    await log.write(entry())
    assert "1 audit entries not stored: ResponseError" in caplog.text
    assert "u_1" in [vars(one)[FIELDS]["actor"] for one in caplog.records if one.name == LOGGER]
    await redis.delete(names.AUDIT_LOG + ACTS)
    await log.write(entry(2))
    assert [one["time_ms"] for one in (await log.page(ACTS, 5)).entries] == [2]
