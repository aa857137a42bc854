"""Replicas that go through one schedule together, on a real Redis, with a clock of ours."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.support.clock import NOW
from tests.support.ledger import DAY, HOUR
from tocsin_issuer.keys import ceremony
from tocsin_issuer.keys.ceremony import IssuerFolder
from tocsin_issuer.keys.key_turns import KeyTurns
from tocsin_issuer.store.key_choice import KeyChoice
from tocsin_revocation_bus.core.replica import Replica
from tocsin_revocation_bus.core.trust import PinnedRoots, Trust
from tocsin_schemas.errors import RequestRejected
from tocsin_schemas.keyset import Keyset, Policy

ISS = "https://issuer.example"
MONTH = 30 * DAY


class Fleet:
    """Replicas with clocks of their own (``skew`` in seconds), on one schedule."""

    def __init__(self, folder: Path, redis: Redis, alg: str = "Ed25519") -> None:
        self.now = float(NOW)
        self.redis = redis
        self.keyset: Keyset = ceremony.init(
            folder,
            issuer=ISS,
            policy=Policy(),
            now=NOW,
            alg=alg,
            rotations=3,
            rotate_every_s=MONTH,
        )
        self.folder = IssuerFolder.open(folder)
        self.revoked: set[str] = set()
        self.kids = [key.kid for key in self.keyset.keys if key.use == "token"]

    def replica(self, skew: float = 0.0) -> KeyTurns:
        """A process that starts now."""
        roots = PinnedRoots(frozenset(self.keyset.roots.public_keys()))
        known = Replica(ISS, roots)
        known.trust = Trust(ISS, roots).accept(self.folder.newest_keyset())
        known.state.revoked_keys = self.revoked
        return KeyTurns(self.folder.keys, known, KeyChoice(self.redis), lambda: self.now + skew)


@pytest.fixture
def fleet(tmp_path: Path, redis: Redis) -> Fleet:
    return Fleet(tmp_path / "issuer", redis)


async def turns(fleet: Fleet) -> list[tuple[str, str, str]]:
    return [(one.left, one.kid, one.why) for one in reversed(await KeyChoice(fleet.redis).turns())]


async def test_all_replicas_go_through_the_schedule_together(fleet: Fleet) -> None:
    replicas = [fleet.replica(skew) for skew in (0.0, 2.0, -2.0)]
    for _ in range(int(89 * DAY / HOUR)):
        for replica in (*replicas, *replicas):  # every second, and not once an hour
            await replica.refresh()
        assert len({replica.chosen for replica in replicas}) == 1
        fleet.now += HOUR
    first, second, third, fourth = fleet.kids
    assert await turns(fleet) == [
        ("", first, "first"),
        (first, second, "schedule"),
        (second, third, "schedule"),
    ]
    fleet.now += 2 * DAY
    await replicas[2].refresh()
    assert replicas[2].chosen == fourth


async def test_of_replicas_that_move_at_once_one_does(fleet: Fleet) -> None:
    one, other = fleet.replica(), fleet.replica()
    await one.refresh()
    await other.refresh()
    first, second, third, _ = fleet.kids
    assert await one.move_to(second, "operator") == second
    # The other has not heard of it, and would leave the first key too.
    assert await other.move_to(second, "operator") == second
    assert other.chosen == second
    await one.move_to(third, "operator")
    assert await other.move_to(second, "operator") == third
    assert [kid for _, kid, _ in await turns(fleet)] == [first, second, third]


async def test_a_replica_that_starts_anew_goes_on_with_the_key_in_use(fleet: Fleet) -> None:
    await fleet.replica().refresh()
    fleet.now += 31 * DAY
    await fleet.replica().refresh()
    started = fleet.replica()
    await started.refresh()
    assert started.chosen == fleet.kids[1] == started.active().kid
    assert len(await turns(fleet)) == 2


async def test_a_redis_that_has_lost_all_costs_no_key_its_place(fleet: Fleet) -> None:
    replica = fleet.replica()
    await replica.refresh()
    fleet.now += 31 * DAY
    await replica.refresh()
    await fleet.redis.flushall()
    assert replica.active().kid == fleet.kids[1]  # what the process knows still counts
    await replica.refresh()
    assert replica.chosen == fleet.kids[1]


async def test_a_replica_without_the_next_key_leaves_the_move_to_others(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    poor, rich = fleet.replica(), fleet.replica()
    await rich.refresh()
    hidden = fleet.folder.keys.path / f"{fleet.kids[1]}.key"
    text = hidden.read_text()
    hidden.unlink()
    await poor.refresh()
    poor.announce()
    assert f"key_missing {fleet.kids[1]}" in caplog.text  # a month ahead
    fleet.now += 31 * DAY
    await poor.refresh()
    assert poor.chosen == fleet.kids[0]
    with pytest.raises(RequestRejected) as nothing:
        poor.active()
    assert (nothing.value.code, nothing.value.status) == ("no_signing_key", 503)
    hidden.write_text(text)
    hidden.chmod(0o600)
    await rich.refresh()
    await poor.refresh()
    assert poor.active().kid == rich.active().kid == fleet.kids[1]


async def test_what_ends_is_said_once_a_day(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "tocsin.keys")
    replica = fleet.replica()
    await replica.refresh()
    replica.announce()
    assert "keyset_expires" not in caplog.text
    fleet.now += 60 * DAY
    caplog.clear()
    for _ in range(48):
        replica.announce()
        fleet.now += HOUR
    assert caplog.text.count("keyset_expires") == 2
    told = replica.describe()["notices"]
    assert {"code", "kid", "at", "urgent"} == set(told[0])
    assert {one["code"] for one in told} >= {"keyset_expires"}


async def test_a_revoked_key_is_left_for_the_next_one(fleet: Fleet) -> None:
    replica = fleet.replica()
    await replica.refresh()
    fleet.revoked.add(fleet.kids[0])
    assert replica.active().kid == fleet.kids[1]  # at once, whatever Redis still says
    await replica.refresh()
    assert (await turns(fleet))[-1] == (fleet.kids[0], fleet.kids[1], "revoked")
