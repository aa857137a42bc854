"""Rotation by schedule in real processes, with turns of seconds and no root anywhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from tests.faults.issuer_process import IssuerProcess
from tests.faults.stack import Stack, running_stack, verdict
from tocsin_issuer.core.key_life_cycle import token_keys
from tocsin_issuer.keys.ceremony import KEYSET_NAME
from tocsin_issuer.store.connection import connect as connect_redis
from tocsin_issuer.store.key_choice import KeyChoice, Turn
from tocsin_schemas import jws
from tocsin_schemas import keyset as keysets
from tocsin_schemas.events import KeysetPublished
from tocsin_schemas.signed_document import SignedDocument

EVERY_S = 7
ROTATIONS = 9  # the first turns may be over before the processes run
_CHOICE = b"tocsin:keys:turns"


@pytest.fixture
async def planned(tmp_path: Path) -> AsyncIterator[Stack]:
    async with running_stack(
        tmp_path, alg="ES256", rotations=ROTATIONS, rotate_every_s=EVERY_S
    ) as stack:
        for root in (tmp_path / "issuer-a" / "roots").glob("*.key"):
            root.unlink()
        yield stack


def kid_of(token: str) -> str:
    return jws.parse_header(token.split(".")[0]).kid


async def taken(stack: Stack) -> list[Turn]:
    redis = connect_redis(stack.valkey.url)
    try:
        return list(reversed(await KeyChoice(redis).turns()))
    finally:
        await redis.aclose()


async def has_taken(stack: Stack, count: int) -> None:
    while len(await taken(stack)) < count:  # noqa: ASYNC110 (another process's doing)
        await asyncio.sleep(0.05)


async def access_token(stack: Stack, issuer: IssuerProcess) -> str:
    return (await stack.log_in(issuer))["access_token"]


async def test_two_replicas_rotate_by_schedule(planned: Stack) -> None:
    kids = [key.kid for key in token_keys(planned.keyset)]
    begun = planned.keyset.issued_at
    one, other = await planned.issuer("a"), await planned.issuer("b")
    seen: dict[str, float] = {}
    tokens: list[str] = []
    async with planned.agent() as agent:
        while len(seen) < 3 and time.time() < begun + 90:
            for issuer in (one, other):
                tokens.append(await access_token(planned, issuer))
                seen.setdefault(kid_of(tokens[-1]), time.time() - begun)
                assert await verdict(agent, tokens[-1]) == "accepted"
            await asyncio.sleep(0.2)
        at = kids.index(next(iter(seen)))
        assert list(seen) == kids[at : at + 3]
        for kid in kids[at : at + 3]:
            assert kids.index(kid) * EVERY_S <= seen[kid]
        for token in tokens:
            assert await verdict(agent, token) == "accepted"
        jwks = (await planned.http.get(f"{one.url}/.well-known/jwks.json")).json()
        assert {key["kid"] for key in jwks["keys"]} == set(kids)
    turns = await taken(planned)
    start = kids.index(turns[0].kid)
    assert [turn.kid for turn in turns] == kids[start : start + len(turns)]
    assert [turn.why for turn in turns] == ["first", *["schedule"] * (len(turns) - 1)]


@pytest.mark.parametrize("stops", ["client", "server"], ids=["before it", "after it"])
async def test_a_crash_at_the_choice(planned: Stack, stops: str) -> None:
    """It never got to Redis, or was made and never heard of: either way the schedule goes on."""
    kids = [key.kid for key in token_keys(planned.keyset)]
    issuer = await planned.issuer()
    await has_taken(planned, 1)
    first = (await taken(planned))[0].kid
    hold = issuer.redis.hold(_CHOICE, stops=stops)  # type: ignore[arg-type]
    async with asyncio.timeout(2 * EVERY_S + 5):
        await hold.reached.wait()
        if stops == "server":
            await has_taken(planned, 2)
    issuer.kill()
    await issuer.redis.cut()
    assert len(await taken(planned)) == (1 if stops == "client" else 2)
    issuer = await planned.issuer()
    async with planned.agent() as agent:
        token = await access_token(planned, issuer)
        assert kid_of(token) != first
        assert await verdict(agent, token) == "accepted"
    after = (await taken(planned))[1]  # turns that went by while nobody ran are left out
    assert (after.left, after.why) == (first, "schedule")
    assert kids.index(after.kid) > kids.index(first)


async def test_a_crash_between_a_signed_keyset_and_the_outbox(tmp_path: Path) -> None:
    """The roots are at hand here, and no key stands by: the issuer makes one as soon as it runs."""
    async with running_stack(tmp_path, rotations=0) as stack:
        issuer = await stack.issuer()
        hold = issuer.redis.hold(b"keyset-published")
        async with asyncio.timeout(10):
            await hold.reached.wait()
        issuer.kill()
        await issuer.redis.cut()
        assert await published(stack) == [1]
        kept = keysets.parse_unverified(
            msgspec.json.decode((issuer.folder / KEYSET_NAME).read_text(), type=SignedDocument)
        )
        assert kept.version == 2
        issuer = await stack.issuer()
        async with asyncio.timeout(15):
            while await published(stack) == [1]:  # noqa: ASYNC110 (another process's doing)
                await asyncio.sleep(0.1)
        await asyncio.sleep(1.5)
        assert await published(stack) == [1, 2]
        assert "offered again" in issuer.log
        held = {path.stem for path in (issuer.folder / "keys").glob("*.key")}
        assert {key.kid for key in kept.keys} <= held


async def published(stack: Stack) -> list[int]:
    """The versions of the keysets in the ledger."""
    return [
        keysets.parse_unverified(event.keyset).version
        for event in await stack.events()
        if isinstance(event, KeysetPublished)
    ]
