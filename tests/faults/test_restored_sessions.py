"""Refreshes leave nothing in the ledger, and an older Valkey has lost them all the same."""

from __future__ import annotations

import asyncio
import os
import subprocess

import pytest

from tests.faults.issuer_process import COMMAND
from tests.faults.older_valkey import OlderValkey, answer_of
from tests.faults.stack import Stack


async def test_an_ordinary_restart_of_valkey_logs_nobody_out(stack: Stack) -> None:
    issuer = await stack.issuer()
    login = await stack.log_in(issuer)
    used = await stack.refresh(issuer, login["refresh_token"])
    stack.valkey.kill()
    stack.valkey.start()
    assert await answer_of(stack, issuer, used.members["refresh_token"]) == (200, "")


@pytest.mark.parametrize("other_refreshed", [False, True])
async def test_a_used_refresh_token_stays_used_when_valkey_goes_back(
    stack: Stack, other_refreshed: bool
) -> None:
    """Whichever process had answered it: the others have seen that, too, and it may be dead."""
    issuer = await stack.issuer()
    login, other = await stack.log_in(issuer), await stack.log_in(issuer)
    asked = await stack.issuer("b") if other_refreshed else issuer
    older = OlderValkey(stack)
    ledger = len(await stack.ledger())
    first = await answer_of(stack, asked, login["refresh_token"])
    assert first == (200, "")
    await asyncio.sleep(0.6)
    if other_refreshed:
        asked.kill()
    assert len(await stack.ledger()) == ledger
    older.restore()
    for token in (login["refresh_token"], other["refresh_token"]):
        assert await answer_of(stack, issuer, token) == (400, "invalid_grant")
    again = await stack.log_in(issuer)
    assert (await stack.refresh(issuer, again["refresh_token"])).status == 200


async def test_after_a_restore_without_an_issuer_there_is_a_command(stack: Stack) -> None:
    """Nobody is there who had seen the refresh, and the ledger has heard nothing of it."""
    issuer = await stack.issuer()
    login = await stack.log_in(issuer)
    older = OlderValkey(stack)
    assert await answer_of(stack, issuer, login["refresh_token"]) == (200, "")
    issuer.kill()
    older.restore()
    done = await asyncio.to_thread(
        subprocess.run,
        [*COMMAND, "issuer", "end-sessions"],
        env={**os.environ, "TOCSIN_REDIS_URL": stack.valkey.url},
        capture_output=True,
        check=True,
    )
    assert b"logs in anew" in done.stdout
    issuer = await stack.issuer()
    assert await answer_of(stack, issuer, login["refresh_token"]) == (400, "invalid_grant")
