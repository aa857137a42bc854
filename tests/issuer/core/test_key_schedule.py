"""A keyset that holds several rotations, gone through hour by hour with a clock of ours."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from msgspec import structs

from tests.support.clock import NOW
from tests.support.keys import signer
from tests.support.ledger import DAY, HOUR, LEDGER_KEY, key_entry, make_keyset
from tocsin_issuer.core.key_life_cycle import (
    RETIRE_GRACE_S,
    KeyTimes,
    Phase,
    Situation,
    choose_active,
    known_since,
    phases,
    successor,
    token_keys,
    turn_ends,
)
from tocsin_issuer.core.key_notices import AHEAD_S, notices
from tocsin_issuer.core.keyset_drafts import scheduled_keyset
from tocsin_schemas import keyset as keysets
from tocsin_schemas.errors import RequestRejected
from tocsin_schemas.keyset import Keyset, KeysetKey, Policy

BOUND_S = 121
MONTH = 30 * DAY


def token(name: str, now: int, alg: str = "Ed25519") -> KeysetKey:
    times = {"publish_at": now, "sign_from": now, "sign_until": now, "verify_until": now}
    return key_entry(signer(alg, name), "token", **times)


def plan(
    keyset: Keyset, active: str | None, now: int, *names: str, every_s: int = MONTH, **more: Any
) -> Keyset:
    return scheduled_keyset(
        keyset,
        active=active,
        added=[token(name, now) for name in names],
        revoked=(),
        now=now,
        every_s=every_s,
        bound_s=BOUND_S,
        **more,
    )


def first_plan(*names: str) -> Keyset:
    """What an issuer begins with."""
    return structs.replace(plan(make_keyset(), None, NOW, *names), version=1)


class Fleet:
    """What all replicas know, and what became of every hour."""

    def __init__(self, keyset: Keyset, now: int) -> None:
        self.keyset = keyset
        self.now = now
        self.acked: dict[str, float] = {}
        self.first_seen: dict[str, float] = {}
        self.revoked: set[str] = set()
        self.active: str | None = None
        self.signed: list[tuple[int, str]] = []
        self.learn(keyset)

    @property
    def times(self) -> KeyTimes:
        return KeyTimes(self.acked, BOUND_S)

    def learn(self, keyset: Keyset) -> None:
        self.keyset = keyset
        for key in keyset.keys:
            self.acked.setdefault(key.kid, known_since(keyset, self.now))
            self.first_seen.setdefault(key.kid, self.now)

    def phases(self) -> dict[str, Phase]:
        return phases(self.keyset, self.revoked, self.active, self.now, self.times)

    def codes(self) -> set[str]:
        held = {key.kid for key in self.keyset.keys}
        situation = Situation(self.keyset, self.revoked, self.active, self.now, self.times)
        return {one.code for one in notices(situation, held)}

    def step(self) -> str:
        self.active = choose_active(self.keyset, self.revoked, self.active, self.now, self.times)
        self.signed.append((self.now, self.active))
        key = next(key for key in self.keyset.keys if key.kid == self.active)
        assert key.sign_from <= self.now <= key.sign_until
        if self.keyset.version > 1:  # I9
            assert (
                self.now >= self.first_seen[self.active] + BOUND_S or self.acked[self.active] == 0
            )
        return self.active


def test_a_year_of_ceremonies_every_second_month() -> None:
    fleet = Fleet(first_plan("third", "fourth"), NOW)
    ceremonies = 0
    for hour in range(365 * 24):
        fleet.now = NOW + hour * HOUR
        fleet.step()
        assert Phase.STANDBY in fleet.phases().values() or fleet.now - fleet.keyset.issued_at < HOUR
        if "keyset_expires" in fleet.codes():  # 30 days ahead: the operators meet
            ceremonies += 1
            made = [f"ceremony-{ceremonies}-{number}" for number in range(2)]
            fleet.learn(plan(fleet.keyset, fleet.active, fleet.now, *made))
        assert "no_standby" not in fleet.codes()
    assert ceremonies == 6
    changes = [
        (now - NOW) / DAY for (_, before), (now, kid) in pairwise(fleet.signed) if kid != before
    ]
    assert len(changes) == 12
    assert all(29 < after - before < 31 for before, after in pairwise(changes))
    assert len({kid for _, kid in fleet.signed}) == 13  # none comes back


def test_what_a_key_signed_last_is_good_for_a_token_s_whole_life() -> None:
    keyset = plan(make_keyset(), None, NOW, "third", "fourth")
    for key in token_keys(keyset):
        assert key.verify_until >= key.sign_until + keyset.policy.max_token_life_s + 30
        assert keysets.parse_unverified(keysets.sign(keyset, [signer("Ed25519", "root")]))


def test_a_turn_ends_while_every_replica_can_still_leave_the_key() -> None:
    keyset = plan(make_keyset(), None, NOW, "third")
    first, second, third = token_keys(keyset)
    times = KeyTimes(dict.fromkeys((key.kid for key in keyset.keys), 0.0), BOUND_S)
    ends = turn_ends(first, times)
    assert ends == NOW + MONTH
    assert first.sign_until - ends == BOUND_S + RETIRE_GRACE_S + 1
    assert choose_active(keyset, (), first.kid, ends - 1, times) == first.kid
    assert choose_active(keyset, (), first.kid, ends, times) == second.kid
    # A replica whose clock is behind leaves it as late as this, and nobody refuses its tokens.
    assert phases(keyset, (), first.kid, first.sign_until, times)[first.kid] is Phase.ACTIVE
    assert third.kid in phases(keyset, (), first.kid, ends, times)


def test_an_early_rotation_needs_no_root_and_is_never_undone() -> None:
    keyset = first_plan("third", "fourth")
    fleet = Fleet(keyset, NOW)
    first = fleet.step()
    fleet.active = successor(keyset, (), first, NOW, fleet.times)
    for day in range(29):
        fleet.now = NOW + day * DAY
        assert fleet.step() != first
        assert fleet.phases()[first] is Phase.RETIRING


def test_two_keys_may_be_lost_within_one_turn() -> None:
    fleet = Fleet(first_plan("third", "fourth"), NOW)
    seen = []
    for _ in range(4):
        seen.append(fleet.step())
        fleet.revoked.add(seen[-1])
    assert seen == [key.kid for key in token_keys(fleet.keyset)]
    with pytest.raises(RequestRejected) as nothing:
        fleet.step()
    assert nothing.value.code == "no_signing_key"
    assert "no_signing_key" in fleet.codes()


def test_when_nobody_comes_to_the_ceremony() -> None:
    """Announced for 30 days; then the last key signs for as long as it may, and no longer."""
    fleet = Fleet(first_plan("third", "fourth"), NOW)
    said: dict[str, float] = {}
    with pytest.raises(RequestRejected) as nothing:
        while True:
            fleet.step()
            for code in fleet.codes():
                said.setdefault(code, (fleet.now - NOW) / DAY)
            fleet.now += HOUR
    assert nothing.value.code == "no_signing_key"
    assert 59 < said["keyset_expires"] <= 60.1
    assert 59 < said["schedule_ends"] <= 60.1
    assert 89 < said["no_standby"] < said["no_ledger_key"] < 121
    last = token_keys(fleet.keyset)[-1]
    assert fleet.now > last.sign_until >= fleet.keyset.expires_at
    assert fleet.keyset.expires_at - NOW == 90 * DAY
    assert said["keyset_expired"] == 90


def test_a_turn_that_is_under_way_is_not_made_longer() -> None:
    keyset = plan(make_keyset(), None, NOW, "third")
    first, second, _ = token_keys(keyset)
    again = plan(keyset, first.kid, NOW + 20 * DAY, "fourth")
    times = KeyTimes({}, BOUND_S)
    assert turn_ends(token_keys(again)[0], times) == NOW + MONTH
    assert [turn_ends(key, times) for key in token_keys(again)[:3]] == [
        NOW + MONTH,
        NOW + 2 * MONTH,
        NOW + 3 * MONTH,
    ]
    later = plan(again, second.kid, NOW + 31 * DAY, "fifth")
    retired = next(key for key in token_keys(later) if key.kid == first.kid)
    assert retired.sign_until <= first.sign_until


def test_a_schedule_that_cannot_be() -> None:
    keyset = make_keyset()
    tokens = [key.kid for key in token_keys(keyset)]
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"every_s": BOUND_S - 1}, "rotation_period"),
        ({"dropped": tokens[:1]}, "no_standby"),
        ({"dropped": [LEDGER_KEY.kid]}, "no_ledger_key"),
    )
    for more, code in cases:
        with pytest.raises(RequestRejected) as refused:
            plan(keyset, None, NOW, **more)
        assert refused.value.code == code


def test_a_shorter_policy_and_a_notice_thirty_days_ahead() -> None:
    policy = Policy(lease_ms=30_000)
    keyset = plan(make_keyset(), None, NOW, policy=policy)
    assert keyset.policy == policy
    assert AHEAD_S == MONTH
    fleet = Fleet(structs.replace(keyset, version=1), NOW + 10)
    fleet.step()
    assert fleet.codes() == {"schedule_ends"}  # one key stands by, and its turn is the last
