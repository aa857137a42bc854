"""Refreshes in any order, from any device, at any time: the store against a small model of it."""

import random
from dataclasses import dataclass, field

import pytest
from redis.asyncio import Redis

from tests.issuer.store.conftest import BOUND_S
from tests.issuer.store.helpers import events_in
from tocsin_issuer.store import names
from tocsin_issuer.store.outbox import Outbox
from tocsin_issuer.store.sessions import DEFAULT_GRACE_S, SessionStore
from tocsin_schemas.errors import RequestRejected
from tocsin_schemas.events import SessionsRevoked

DEVICE = "d" * 43
DEVICES = (DEVICE, None, "e" * 43)
STEPS = 25
LATE_MS = round(DEFAULT_GRACE_S * 1000)


@dataclass
class Family:
    """The rule in words: one token is live. The one before it may come once more, if it comes in
    time, from the device, and before the live one was used. All else ends the family.
    """

    live: str
    bound: bool
    before: str | None = None
    in_time: bool = False
    ended_by: str | None = None
    known: list[str] = field(default_factory=list)

    def accepts(self, token: str, device: str | None) -> bool:
        """Whether the token gets an answer; ends the family where it does not."""
        if self.ended_by is not None:
            return False
        if self.bound and device != DEVICE:
            self.ended_by = "device-mismatch"
            return False
        if token == self.live:
            self.before, self.in_time = token, True
            return True
        if self.bound and token == self.before and self.in_time:
            self.before = None
            return True
        self.ended_by = "refresh-reuse"
        return False

    def give(self, token: str) -> None:
        self.live = token
        self.known.append(token)


@pytest.mark.parametrize("bound", [True, False], ids=["bound to a device", "bound to none"])
async def test_the_store_does_what_the_model_does(
    redis: Redis, sessions: SessionStore, outbox: Outbox, bound: bool
) -> None:
    answered = ended = repeated = 0
    for seed in range(60):
        chance = random.Random(f"{bound} {seed}")
        await redis.delete(names.OUTBOX)
        opened = await sessions.create(
            "alice", "app", ["orders"], device_id=DEVICE if bound else None
        )
        family = Family(opened.refresh_token, bound)
        family.known.append(opened.refresh_token)
        for step in range(STEPS):
            where = f"seed {seed}, step {step}"
            if chance.random() < 0.2 and family.ended_by is None and family.before:
                await redis.hincrby(names.SESSION + opened.sid, "replaced_ms", -LATE_MS)
                family.in_time = False
            age = min(len(family.known), chance.choice((1, 1, 1, 1, 2, 2, 3)))
            token = family.known[-age]
            device = chance.choices(DEVICES, (20, 1, 1))[0]
            is_live = token == family.live
            if family.accepts(token, device):
                answer = await sessions.refresh(token, bound_s=BOUND_S, device_id=device)
                family.give(answer.refresh_token)
                answered += 1
                repeated += not is_live
            else:
                with pytest.raises(RequestRejected):
                    await sessions.refresh(token, bound_s=BOUND_S, device_id=device)
            events = [one for one in await events_in(outbox) if isinstance(one, SessionsRevoked)]
            assert [one.reason for one in events] == (
                [family.ended_by] if family.ended_by else []
            ), where
            assert await sessions.exists(opened.sid) == (family.ended_by is None), where
        ended += family.ended_by is not None
    assert answered > 60
    assert ended > 30
    assert (repeated > 10) is bound, "grace was met, and only where a device shows"
