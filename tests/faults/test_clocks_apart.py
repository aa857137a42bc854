"""Cutoffs hold where the wall clocks of two issuers are four seconds apart.

`iat` and cutoff are both decided in Redis, so every earlier token dies and no later one does,
whoever minted it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from tests.faults.issuer_process import IssuerProcess
from tests.faults.stack import ISSUER, Stack, verdict
from tocsin_revocation_bus.tasks import end
from tocsin_schemas import base64url, strict_json
from tocsin_schemas.events import (
    AllRevokedBefore,
    ClientRevokedBefore,
    SubjectRevokedBefore,
)
from tocsin_verifier_agent import VerifierAgent

_SHIFTS_S = {"fast": 2.0, "slow": -2.0}
_CODES = {"subject_revoked", "client_revoked", "all_revoked"}
_EACH = 6  # tokens of each issuer between two cutoffs


@dataclass(frozen=True)
class Minted:
    """A token, and between which two moments it came to be (``time.monotonic``)."""

    token: str
    issuer: str
    asked: float
    answered: float


async def keep_minting(stack: Stack, issuer: IssuerProcess, minted: list[Minted]) -> None:
    """Tokens of one user, by refresh, and by login whenever the session has been ended."""
    refresh_token: str | None = None
    while True:
        asked = time.monotonic()
        if refresh_token is None:
            members = await stack.log_in(issuer)
        else:
            members = (await stack.refresh(issuer, refresh_token)).members
        refresh_token = members.get("refresh_token")
        if refresh_token is not None:
            token, name = members["access_token"], issuer.folder.name
            minted.append(Minted(token, name, asked, time.monotonic()))
        await asyncio.sleep(0.02)


async def some_more(minted: list[Minted], issuers: Sequence[IssuerProcess]) -> list[Minted]:
    """Tokens of each issuer that were all asked for from now on."""
    since = time.monotonic()
    async with asyncio.timeout(20):
        while True:
            found = [one for one in minted if one.asked >= since]
            names = [one.issuer for one in found]
            if all(names.count(issuer.folder.name) >= _EACH for issuer in issuers):
                return found
            await asyncio.sleep(0.02)


async def revoke(
    stack: Stack, issuer: IssuerProcess, wanted: dict[str, str]
) -> tuple[float, float]:
    """As an operator; returns when it was asked for, and when it was in the ledger."""
    login = await stack.log_in(issuer, "operator", audience=ISSUER)
    started = time.monotonic()
    answer = await stack.http.post(
        f"http://127.0.0.1:{issuer.internal_port}/admin/revocations",
        headers={"Authorization": f"Bearer {login['access_token']}"},
        json=wanted,
    )
    assert answer.status_code == 200, answer.text
    return started, time.monotonic()


async def all_rejected(agent: VerifierAgent, tokens: Sequence[Minted]) -> None:
    """Each of them, as soon as the agent has the cutoff."""
    async with asyncio.timeout(10):
        while await verdict(agent, tokens[-1].token) not in _CODES:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert {await verdict(agent, one.token) for one in tokens} <= _CODES


@pytest.mark.parametrize("active", ["fast", "slow"])
async def test_every_earlier_token_dies_and_no_later_one(stack: Stack, active: str) -> None:
    """The active one starts first; what it appends carries its own time."""
    order = [active, *(name for name in _SHIFTS_S if name != active)]
    issuers = [await stack.issuer(name, _SHIFTS_S[name]) for name in order]
    await stack.add_user("operator", ["revocations:write"])
    first = await stack.log_in(issuers[0])
    sub = claims_of(first["access_token"])["sub"]
    wanted = [
        {"by": "subject", "sub": sub},
        {"by": "client", "client_id": claims_of(first["access_token"])["client_id"]},
        {"by": "all"},
    ]
    minted: list[Minted] = []
    async with stack.agent() as agent:
        minting = [asyncio.create_task(keep_minting(stack, one, minted)) for one in issuers]
        try:
            for number, what in enumerate([*wanted, *wanted]):
                await some_more(minted, issuers)
                started, ended = await revoke(stack, issuers[number % 2], what)
                later = await some_more(minted, issuers)
                await all_rejected(agent, [one for one in minted if one.answered < started])
                assert min(one.asked for one in later) >= ended
                assert {await verdict(agent, one.token) for one in later} == {"accepted"}
        finally:
            await end(*minting)
        last = max(
            [
                event.before
                for event in await stack.events()
                if isinstance(event, SubjectRevokedBefore | ClientRevokedBefore | AllRevokedBefore)
            ]
        )
        for one in minted:
            dead = await verdict(agent, one.token) in _CODES
            assert dead == (claims_of(one.token)["iat"] < last), "exactly those before it"
    assert [one.log for one in issuers if "stepped down" in one.log] == [], "they took turns"


def claims_of(token: str) -> dict[str, Any]:
    return strict_json.loads_object(base64url.decode(token.split(".")[1]))
