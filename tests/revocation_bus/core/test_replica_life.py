"""A replica over time: what it says of itself, rotations, terms, and when it holds a lease."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.clock import LEASE_NOW, NOW, SECOND
from tests.support.keys import signer
from tests.support.ledger import (
    DAY,
    HOUR,
    LEDGER_KEY,
    NONCE,
    ROOT,
    STANDBY_KEY,
    TOKEN_KEY,
    Ledger,
    key_entry,
    pinned,
    publish,
    revoke_key,
    revoke_token,
    root_set,
    signed_keyset,
    tick,
)
from tests.support.tokens import ISSUER
from tocsin_revocation_bus.core.replica import Outcome, Replica
from tocsin_revocation_bus.core.trust import PinnedRoots
from tocsin_schemas import term
from tocsin_schemas.events import TermOpened
from tocsin_schemas.keyset import Policy
from tocsin_schemas.term import TermStatement

NEW_LEDGER_KEY = signer("Ed25519", "new-ledger")
NEW_ROOT = signer("Ed25519", "new-root")
LEASE = 120 * SECOND


def told(replica: Replica, now: int = LEASE_NOW, wall: float = NOW) -> tuple[str, str]:
    status = replica.status(now, wall)
    return status.state.value, status.reason


def beaten(
    replica: Replica, ledger: Ledger, now: int, wall: float = NOW, **changes: Any
) -> Outcome:
    text = ledger.beat(now, utc=int(wall * 1000), **changes)
    return replica.apply_heartbeat(text, now, wall)


# --- statuses ----


def test_from_starting_to_live_to_stale_and_back() -> None:
    ledger = Ledger()
    ledger.append(revoke_token("a"))
    replica = Replica(ISSUER, pinned())
    assert told(replica) == ("starting", "no_ledger")

    replica.apply_record(ledger.texts[0], LEASE_NOW, NOW)
    assert told(replica) == ("syncing", "no_heartbeat")
    beaten(replica, ledger, LEASE_NOW)
    assert told(replica) == ("syncing", "behind")
    replica.apply_record(ledger.texts[1], LEASE_NOW, NOW)
    assert told(replica) == ("syncing", "no_clock_sync")
    assert replica.needs_sync()

    replica.sync_sent(NONCE, LEASE_NOW)
    replica.apply_clock_reply(ledger.reply(), LEASE_NOW, NOW)
    assert told(replica) == ("live", "")
    assert not replica.needs_sync()

    until = replica.valid_until()
    assert until is not None
    assert told(replica, until) == ("live", "")
    assert told(replica, until + 1) == ("stale", "lease_lapsed")

    ledger.append(revoke_token("b"))
    later = until + SECOND
    assert beaten(replica, ledger, later) is Outcome.BEHIND
    assert told(replica, later) == ("stale", "behind")
    assert replica.behind
    replica.apply_record(ledger.texts[2], later, NOW)
    assert told(replica, later) == ("live", "")
    assert not replica.behind


def test_a_heartbeat_that_was_heard_before_its_record_renews_once_the_record_is_there() -> None:
    ledger = Ledger()
    replica = ledger.live_replica()
    ledger.append(revoke_token("a"))
    later = LEASE_NOW + 60 * SECOND
    beaten(replica, ledger, later)
    assert replica.lease.proven_at == LEASE_NOW
    replica.apply_record(ledger.texts[1], later + SECOND, NOW)
    assert replica.lease.proven_at is not None
    assert later - SECOND < replica.lease.proven_at <= later


def test_a_keyset_that_has_run_out_by_the_wall_clock_refuses() -> None:
    replica = Ledger(signed_keyset(expires_at=NOW + HOUR)).live_replica()
    assert told(replica, wall=NOW + HOUR - 1) == ("live", "")
    assert told(replica, wall=NOW + HOUR) == ("refused", "keyset_expired")


def test_a_keyset_that_has_run_out_by_the_ledgers_own_time_refuses() -> None:
    """A wall clock that is slow, or was set back, keeps no keyset alive."""
    ledger = Ledger(signed_keyset(expires_at=NOW + HOUR))
    ledger.append(iat=NOW + HOUR + 600)
    replica = ledger.feed(Replica(ISSUER, pinned()), wall=NOW + HOUR + 600)
    assert replica.keyset_expired(0.0)
    assert told(replica, wall=NOW) == ("refused", "keyset_expired")


def test_a_new_keyset_ends_the_refusal() -> None:
    ledger = Ledger(signed_keyset(expires_at=NOW + HOUR))
    replica = ledger.live_replica()
    wall = NOW + 2 * HOUR
    assert replica.keyset_expired(wall)
    ledger.append(publish(signed_keyset(2)), iat=wall)
    assert replica.apply_record(ledger.texts[-1], LEASE_NOW, wall) is Outcome.APPLIED
    assert told(replica, wall=wall)[0] == "live"


def test_a_record_ahead_of_our_clock_is_applied_when_the_clock_gets_there() -> None:
    ledger = Ledger()
    replica = ledger.live_replica()
    ledger.append(revoke_token("a"), iat=NOW + 301)
    assert replica.apply_record(ledger.texts[1], LEASE_NOW, NOW) is Outcome.NOISE
    assert replica.state.horizon == NOW - 600
    assert told(replica, LEASE_NOW + LEASE + 1) == ("stale", "clock_ahead")
    assert replica.apply_record(ledger.texts[1], LEASE_NOW, NOW + 1) is Outcome.APPLIED


def test_a_heartbeat_ahead_of_our_clock_makes_stale_until_one_is_not() -> None:
    ledger = Ledger()
    replica = ledger.live_replica()
    later = LEASE_NOW + LEASE + SECOND
    ahead = ledger.beat(later, utc=(NOW + 301) * 1000)
    assert replica.apply_heartbeat(ahead, later, NOW) is Outcome.NOISE
    assert told(replica, later) == ("stale", "clock_ahead")
    assert replica.lease.proven_at == LEASE_NOW
    beaten(replica, ledger, later)
    assert told(replica, later) == ("live", "")


def test_rho_broken_drops_the_lease_and_says_so() -> None:
    ledger = Ledger()
    replica = ledger.live_replica()
    text = ledger.beat(LEASE_NOW + 10 * SECOND)
    replica.apply_heartbeat(text, LEASE_NOW + 5 * SECOND, NOW)
    assert replica.valid_until() is None
    assert replica.needs_sync()
    assert told(replica) == ("stale", "rho_broken")


# --- how long ----


def test_an_agent_may_lower_the_lease_and_not_raise_it() -> None:
    for ours, lease in ((None, 120), (30_000, 30), (600_000, 120), (0, 0)):
        replica = Ledger().live_replica(max_lease_ms=ours)
        assert replica.valid_until() == LEASE_NOW + lease * SECOND


def test_a_caller_may_lower_it_further_and_not_raise_it() -> None:
    replica = Ledger().live_replica()
    assert replica.valid_until(15 * SECOND) == LEASE_NOW + 15 * SECOND
    assert replica.valid_until(0) == LEASE_NOW
    assert replica.valid_until(10_000 * SECOND) == LEASE_NOW + LEASE


def test_a_new_policy_holds_at_once() -> None:
    ledger = Ledger()
    replica = ledger.live_replica()
    ledger.append(publish(signed_keyset(2, policy=Policy(lease_ms=30_000))))
    replica.apply_record(ledger.texts[1], LEASE_NOW, NOW)
    assert replica.valid_until() == LEASE_NOW + 30 * SECOND


def test_settlement_never_goes_back() -> None:
    ledger = Ledger()
    replica = ledger.live_replica()
    for settled, expected in ((1, 1), (0, 1), (1, 1)):
        beaten(replica, ledger, LEASE_NOW + 1, settled_n=settled)
        assert replica.settled_n == expected


# --- rotation ----


def rotation(*entries: Any, version: int = 2) -> Any:
    return publish(signed_keyset(version, keys=(*entries, key_entry(TOKEN_KEY, "token"))))


def test_the_new_ledger_key_may_sign_the_record_that_brings_it() -> None:
    ledger = Ledger()
    ledger.append(
        rotation(key_entry(LEDGER_KEY, "ledger"), key_entry(NEW_LEDGER_KEY, "ledger")),
        signer=NEW_LEDGER_KEY,
    )
    ledger.append(revoke_token("a"), signer=NEW_LEDGER_KEY)
    ledger.append(revoke_token("b"), signer=LEDGER_KEY)
    assert ledger.replica().head is not None


def test_a_ledger_key_that_left_the_keyset_signs_nothing_more() -> None:
    ledger = Ledger()
    replica = ledger.live_replica()
    ledger.append(rotation(key_entry(NEW_LEDGER_KEY, "ledger")))
    ledger.feed(replica)
    for text in (ledger.draft(revoke_token("a")), ledger.draft()):
        assert replica.apply_record(text, LEASE_NOW, NOW) is Outcome.NOISE
    assert replica.apply_heartbeat(ledger.beat(), LEASE_NOW, NOW) is Outcome.NOISE
    replica.sync_sent(NONCE, LEASE_NOW)
    assert replica.apply_clock_reply(ledger.reply(), LEASE_NOW, NOW) is Outcome.NOISE


def test_a_revoked_ledger_key_signs_nothing_more_even_if_a_keyset_brings_it_back() -> None:
    both = (key_entry(LEDGER_KEY, "ledger"), key_entry(NEW_LEDGER_KEY, "ledger"))
    ledger = Ledger(signed_keyset(1, keys=both))
    replica = ledger.live_replica()
    ledger.append(revoke_key(LEDGER_KEY.kid), signer=NEW_LEDGER_KEY)
    ledger.append(rotation(*both), signer=NEW_LEDGER_KEY)
    ledger.feed(replica)
    later = LEASE_NOW + SECOND
    assert replica.apply_record(ledger.draft(revoke_token("a")), later, NOW) is Outcome.NOISE
    assert beaten(replica, ledger, later) is Outcome.NOISE
    replica.sync_sent(NONCE, later)
    assert replica.apply_clock_reply(ledger.reply(later), later, NOW) is Outcome.NOISE
    assert replica.lease.proven_at == LEASE_NOW
    assert beaten(replica, ledger, later, signer=NEW_LEDGER_KEY) is Outcome.APPLIED


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        pytest.param({}, True, id="in its window"),
        pytest.param({"sign_from": NOW + 299}, True, id="about to begin"),
        pytest.param({"sign_from": NOW + 1000}, False, id="not yet"),
        pytest.param({"sign_until": NOW - 299}, True, id="just over"),
        pytest.param({"sign_until": NOW - 301}, False, id="over, though still good to verify"),
        pytest.param(
            {"sign_until": NOW - 301, "verify_until": NOW - 1}, False, id="no more good to verify"
        ),
        pytest.param({"sign_until": NOW - 9, "verify_until": NOW - 1}, False, id="just retired"),
    ],
)
def test_a_heartbeat_or_reply_needs_a_key_that_may_sign_now(
    changes: dict[str, Any], good: bool
) -> None:
    """A thief of a retired key could otherwise keep agents live, and a revocation from them, until
    `verify_until`; what it says of its own time proves nothing.
    """
    old = key_entry(NEW_LEDGER_KEY, "ledger", publish_at=0, **{"sign_from": NOW - DAY, **changes})
    keys = (key_entry(LEDGER_KEY, "ledger"), old)
    ledger = Ledger(signed_keyset(1, keys=keys))
    replica = ledger.live_replica()
    later = LEASE_NOW + SECOND
    expected = Outcome.APPLIED if good else Outcome.NOISE
    assert beaten(replica, ledger, later, signer=NEW_LEDGER_KEY) is expected
    replica.sync_sent(NONCE, later)
    reply = ledger.reply(later, signer=NEW_LEDGER_KEY)
    assert replica.apply_clock_reply(reply, later, NOW) is expected


def test_the_ledgers_own_time_retires_a_key_where_the_wall_clock_is_slow() -> None:
    keys = (
        key_entry(LEDGER_KEY, "ledger"),
        key_entry(NEW_LEDGER_KEY, "ledger", sign_until=NOW, verify_until=NOW + DAY),
    )
    ledger = Ledger(signed_keyset(1, keys=keys))
    ledger.append(iat=NOW + HOUR)
    replica = ledger.feed(Replica(ISSUER, pinned()), wall=NOW + HOUR)
    text = ledger.beat(signer=NEW_LEDGER_KEY)
    assert replica.apply_heartbeat(text, LEASE_NOW, float(NOW)) is Outcome.NOISE


def test_roots_rotate_along_the_chain() -> None:
    ledger = Ledger()
    new_roots = root_set([NEW_ROOT], version=2)
    ledger.append(publish(signed_keyset(2, by=[ROOT, NEW_ROOT], roots=new_roots)))
    ledger.append(publish(signed_keyset(3, by=[NEW_ROOT], roots=new_roots)))
    replica = ledger.replica()
    old = ledger.draft(publish(signed_keyset(4, by=[ROOT])))
    assert replica.apply_record(old, LEASE_NOW, NOW) is Outcome.NOISE
    assert replica.trust.keyset is not None
    assert replica.trust.keyset.version == 3


def test_whoever_pins_later_roots_is_not_live_before_their_keyset() -> None:
    """Neither the ledger keys nor the token keys of roots that are only followed count."""
    ledger = Ledger()
    pins = PinnedRoots(frozenset([NEW_ROOT.kid]), 1, 2)
    replica = ledger.feed(Replica(ISSUER, pins))
    replica.sync_sent(NONCE, LEASE_NOW)
    reply = ledger.reply(heartbeat=ledger.beat())
    assert replica.apply_clock_reply(reply, LEASE_NOW, NOW) is Outcome.NOISE
    assert replica.apply_heartbeat(ledger.beat(), LEASE_NOW, NOW) is Outcome.NOISE
    assert replica.valid_until() is None
    assert replica.vouched_until(None, NOW) is None
    assert told(replica) == ("refused", "root_mismatch")

    new_roots = root_set([NEW_ROOT], version=2)
    ledger.append(publish(signed_keyset(2, by=[ROOT, NEW_ROOT], roots=new_roots)))
    ledger.feed(replica)
    assert replica.valid_until() is None  # a lease is proven anew
    ledger.make_live(replica)
    assert told(replica) == ("live", "")


def test_a_key_revoked_and_replaced_in_one_record() -> None:
    """Both take effect, and the revocation outlives the keyset that still lists the key."""
    ledger = Ledger()
    ledger.append(revoke_key(TOKEN_KEY.kid), publish(signed_keyset(2)))
    ledger.append(publish(signed_keyset(3)))
    replica = ledger.replica()
    assert TOKEN_KEY.kid in replica.state.revoked_keys
    assert STANDBY_KEY.kid in replica.trust.token_keys


# --- ticks ----


def test_a_tick_of_our_own_state_is_applied() -> None:
    ledger = Ledger()
    ledger.append(revoke_token("a"))
    replica = ledger.live_replica()
    ledger.append(tick(replica.state.hash()))
    assert replica.apply_record(ledger.texts[-1], LEASE_NOW, NOW) is Outcome.APPLIED


def test_a_ticks_hash_is_of_the_state_before_its_record() -> None:
    ledger = Ledger()
    replica = ledger.live_replica()
    ledger.append(tick(replica.state.hash()), revoke_token("a"))
    assert replica.apply_record(ledger.texts[-1], LEASE_NOW, NOW) is Outcome.APPLIED


# --- terms ----


def opened_on(ledger: Ledger, replica: Replica, **changes: Any) -> str:
    assert replica.head is not None
    members: dict[str, Any] = {
        "iss": ISSUER,
        "term": replica.head.term + 1,
        "base_term": replica.head.term,
        "base_n": replica.head.n,
        "base_hash": replica.head.hash,
        "state_hash": replica.state.hash(),
        **changes,
    }
    statement = term.sign(TermStatement(**members), [ROOT])
    event = TermOpened(id="e", reason="r", initiator="admin", statement=statement)
    return ledger.append(event, term=members["term"])


def test_a_term_opens_on_our_head() -> None:
    ledger = Ledger()
    ledger.append(revoke_token("a"))
    replica = ledger.live_replica()
    text = opened_on(ledger, replica)
    assert replica.apply_record(text, LEASE_NOW, NOW) is Outcome.APPLIED
    assert replica.head is not None
    assert (replica.head.term, replica.head.n) == (2, 3)
    ledger.append(revoke_token("b"), term=2)
    assert replica.apply_record(ledger.texts[-1], LEASE_NOW, NOW) is Outcome.APPLIED
    old_term = ledger.draft(revoke_token("c"), term=1)
    assert replica.apply_record(old_term, LEASE_NOW, NOW) is Outcome.OLD


def test_an_agent_that_is_behind_the_base_is_behind_and_no_more() -> None:
    """It hears of the new term before it has read up to the base: no reason to halt for good."""
    ledger = Ledger()
    behind = ledger.live_replica()
    ledger.append(revoke_token("a"))
    text = opened_on(ledger, ledger.replica())
    assert behind.apply_record(text, LEASE_NOW, NOW) is Outcome.BEHIND
    assert behind.halted is None
    ledger.feed(behind)
    assert behind.head is not None
    assert (behind.head.term, behind.head.n) == (2, 3)


def test_an_agent_that_is_ahead_of_the_base_halts() -> None:
    """It has applied what the operators have given up: somebody must look."""
    ledger = Ledger()
    base = ledger.replica()
    lost = Ledger()
    lost.append(revoke_token("lost"))
    ahead = lost.live_replica()
    text = opened_on(ledger, base)
    assert ahead.apply_record(text, LEASE_NOW, NOW) is Outcome.HALTED
    assert told(ahead) == ("refused", "term_base")


def test_a_new_term_below_a_lost_head_leaves_nobody_behind_for_ever() -> None:
    """A heartbeat named records that were lost; the term was opened without them."""
    ledger = Ledger()
    replica = ledger.live_replica()
    beaten(replica, ledger, LEASE_NOW, head_n=50, head_hash="h" * 43)
    assert replica.behind
    text = opened_on(ledger, replica)
    assert replica.apply_record(text, LEASE_NOW, NOW) is Outcome.APPLIED
    assert not replica.behind
    later = LEASE_NOW + SECOND
    assert beaten(replica, ledger, later, term=2) is Outcome.APPLIED
    assert told(replica, later) == ("live", "")


def test_a_heartbeat_of_the_old_term_renews_nothing_in_the_new_one() -> None:
    ledger = Ledger()
    replica = ledger.live_replica()
    old = ledger.beat(LEASE_NOW + 10 * SECOND)
    replica.apply_record(opened_on(ledger, replica), LEASE_NOW, NOW)
    replica.apply_heartbeat(old, LEASE_NOW + 10 * SECOND, NOW)
    assert replica.lease.proven_at == LEASE_NOW


# --- I4: no lease unless applied = head ----


class NoHeadCheck(Replica):
    """A mutant: any heartbeat renews, whatever head it names."""

    def _renew(self, now: int) -> None:
        for beat in tuple(self._heartbeats.values()):
            self.lease.renew(beat.clock_id, beat.issuer_time, now, 500)


class FromReceipt(Replica):
    """A mutant: the lease starts when the heartbeat arrives."""

    def _renew(self, now: int) -> None:
        head = self.head
        for beat in self._heartbeats.values():
            if head is not None and beat.head_hash == head.hash:
                self.lease.proven_at = now


class FromTheReply(Replica):
    """A mutant: a clock reply renews by itself."""

    def apply_clock_reply(self, text: str, now: int, wall: float) -> Outcome:
        outcome = super().apply_clock_reply(text, now, wall)
        if outcome is Outcome.APPLIED:
            self.lease.proven_at = max(self._nonces.values())
        return outcome


class Story:
    """One honest issuer and one agent; both clocks run alike, so that only the order matters."""

    def __init__(self, kind: type[Replica]) -> None:
        self.ledger = Ledger()
        self.now = LEASE_NOW
        self.committed = [LEASE_NOW]
        self.replica = self.ledger.feed(kind(ISSUER, pinned()))
        self.pool: list[tuple[str, str]] = []
        self.asked: list[str] = []

    def step(self, what: str, which: int) -> None:
        self.now += 1000 + which * SECOND // 4
        match what:
            case "record":
                self.pool.append(("record", self.ledger.append(revoke_token(f"jti-{self.now}"))))
                self.committed.append(self.now)
            case "beat":
                self.pool.append(("beat", self.ledger.beat(self.now)))
            case "ask":
                self.asked.append(f"nonce-{self.now:020}")
                self.replica.sync_sent(self.asked[-1], self.now)
            case "answer" if self.asked:
                nonce = self.asked[-1 - which // 2 % len(self.asked)]
                carried = self.ledger.beat(self.now) if which % 2 else None
                reply = self.ledger.reply(self.now, nonce=nonce, heartbeat=carried)
                self.pool.append(("reply", reply))
            case _ if self.pool:
                self.deliver(*self.pool[-1 - which % len(self.pool)])

    def deliver(self, kind: str, text: str) -> None:
        match kind:
            case "record":
                self.replica.apply_record(text, self.now, NOW)
            case "beat":
                self.replica.apply_heartbeat(text, self.now, NOW)
            case _:
                self.replica.apply_clock_reply(text, self.now, NOW)

    @property
    def honest(self) -> bool:
        """Whether all that was committed when the lease was proven has been applied."""
        proven, head = self.replica.lease.proven_at, self.replica.head
        assert head is not None
        return proven is None or bisect_right(self.committed, proven) <= head.n


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["record", "beat", "ask", "answer", "deliver", "deliver", "deliver"]),
        st.integers(0, 9),
    ),
    max_size=35,
)


@settings(max_examples=120, deadline=None)
@given(_STEPS)
def test_a_lease_proves_that_everything_before_it_has_been_applied(
    steps: list[tuple[str, int]],
) -> None:
    story = Story(Replica)
    before = None
    for what, which in [("ask", 0), ("answer", 0), ("deliver", 0), *steps]:
        story.step(what, which)
        assert story.honest
        assert story.replica.halted is None
        proven = story.replica.lease.proven_at
        assert proven is None or proven <= story.now
        assert before is None or (proven is not None and proven >= before)
        before = proven


# What happens, and by how many quarters of a second later, or how far back in the pool.
SYNCED = [("ask", 0), ("answer", 0), ("deliver", 0)]
SCHEDULES = {
    "the record is delayed, the heartbeat after it is not": [
        *SYNCED,
        ("record", 0),
        ("beat", 4),
        ("deliver", 0),
    ],
    "the heartbeat is delayed beyond the record after it": [
        *SYNCED,
        ("beat", 0),
        ("record", 0),
        ("deliver", 1),
    ],
    "the agent asks once more, behind a record that it does not have": [
        ("record", 0),
        *SYNCED,
    ],
}


@pytest.mark.parametrize("mutant", [NoHeadCheck, FromReceipt, FromTheReply])
def test_mutants_of_renewal_are_caught(mutant: type[Replica]) -> None:
    assert any(breaks(mutant, schedule) for schedule in SCHEDULES.values())


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_the_real_one_survives_those_schedules(schedule: list[tuple[str, int]]) -> None:
    assert not breaks(Replica, schedule)


def breaks(kind: type[Replica], schedule: list[tuple[str, int]]) -> bool:
    story = Story(kind)
    for what, which in schedule:
        story.step(what, which)
        if not story.honest:
            return True
    return False


def test_a_nonce_that_goes_out_twice_counts_from_the_first_time() -> None:
    """The answer to the first request must not be dated by the second."""
    ledger = Ledger()
    replica = ledger.replica()
    replica.sync_sent(NONCE, LEASE_NOW)
    reply = ledger.reply(LEASE_NOW, heartbeat=ledger.beat(LEASE_NOW))
    replica.sync_sent(NONCE, LEASE_NOW + 60 * SECOND)
    replica.apply_clock_reply(reply, LEASE_NOW + 61 * SECOND, NOW)
    assert replica.lease.proven_at == LEASE_NOW


def test_clocks_are_bounded() -> None:
    """A candidate that restarts for ever fills nothing."""
    ledger = Ledger()
    replica = ledger.live_replica()
    for number in range(40):
        text = ledger.beat(clock_id=f"clock-{number:020}")
        replica.apply_heartbeat(text, LEASE_NOW, NOW)
    assert len(replica._heartbeats) <= 8
    assert replica.needs_sync()
