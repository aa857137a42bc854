"""Valkey does what it is asked to, and its answer is lost: the client sends the script again."""

from __future__ import annotations

import asyncio

import pytest

from tests.faults.stack import Stack


@pytest.mark.parametrize(
    ("path", "reason"), [("/v1/logout", b"logout"), ("/v1/logout-all", b"logout-all")]
)
async def test_a_logout_whose_answer_is_lost_stands_in_the_ledger_once(
    stack: Stack, path: str, reason: bytes
) -> None:
    issuer = await stack.issuer()
    first = await stack.log_in(issuer)
    await stack.post(issuer, path, token=first["access_token"])  # the script is known
    login = await stack.log_in(issuer)
    records = len(await stack.ledger())
    hold = issuer.redis.hold(b'"reason":"' + reason + b'"', stops="server")
    asked = asyncio.create_task(stack.post(issuer, path, token=login["access_token"]))
    async with asyncio.timeout(5):
        await hold.reached.wait()
    await asyncio.sleep(0.3)
    await issuer.redis.cut()
    assert (await asked).accepted
    last, last_sid = stack.token()
    assert (await stack.log_out(issuer, last)).accepted
    async with asyncio.timeout(10):
        while await stack.times_revoked(last_sid) == 0:
            pass
    new = [event for one in (await stack.ledger())[records:] for event in one.record.events]
    assert sorted(event.reason for event in new) == sorted([reason.decode(), "logout"])
