"""What the active sequencer takes for its own, and what for another's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.clock import LEASE_NOW, NOW
from tests.support.ledger import LEDGER_KEY, ROOT, pinned, publish, revoke_token, signed_keyset
from tests.support.tokens import ISSUER
from tocsin_issuer.core.sequencer import Committed, Sequencer, may_take_over
from tocsin_issuer.keys import term_draft
from tocsin_revocation_bus.core.replica import Outcome, Replica
from tocsin_schemas import record, term
from tocsin_schemas.events import TermOpened
from tocsin_schemas.keyset import Policy


def active() -> tuple[Sequencer, Replica]:
    """One that has appended the first record."""
    replica = Replica(ISSUER, pinned())
    sequencer = Sequencer(ISSUER, LEDGER_KEY, replica, "clock-of-the-test")
    assert sequencer.take_over(0, 0)
    append = sequencer.append_record(sequencer.build([publish(signed_keyset())], "test", NOW))
    committed = sequencer.on_ack(1, duplicate=False)
    assert committed == Committed(append, 1)
    sequencer.apply_committed(append, LEASE_NOW, NOW)
    return sequencer, replica


def test_its_own_record_may_come_back_before_its_puback() -> None:
    sequencer, replica = active()
    append = sequencer.append_record(sequencer.build([revoke_token("a")], "test", NOW))
    assert replica.apply_record(append.text, LEASE_NOW, NOW) is Outcome.APPLIED
    assert not sequencer.overtaken


def test_anothers_record_overtakes_it() -> None:
    sequencer, replica = active()
    other = sequencer.build([revoke_token("b")], "another", NOW)
    assert replica.apply_record(other, LEASE_NOW, NOW) is Outcome.APPLIED
    assert sequencer.overtaken


def test_what_follows_its_own_record_and_is_not_its_own_overtakes_it() -> None:
    sequencer, replica = active()
    append = sequencer.append_record(sequencer.build([revoke_token("a")], "test", NOW))
    assert append.parsed is not None
    following = sequencer.build([revoke_token("b")], "another", NOW, after=append.parsed)
    for text in (append.text, following):
        assert replica.apply_record(text, LEASE_NOW, NOW) is Outcome.APPLIED
    assert sequencer.overtaken


def test_the_next_record_is_built_upon_the_one_on_its_way() -> None:
    sequencer, _ = active()
    append = sequencer.append_record(sequencer.build([revoke_token("a")], "test", NOW))
    assert append.parsed is not None
    text = sequencer.build([revoke_token("b")], "test", NOW - 5, after=append.parsed)
    built = record.parse_unverified(text)
    assert (built.n, built.prev) == (append.parsed.n + 1, append.parsed.hash)
    assert built.iat == append.parsed.iat, "never older than the one before it"


def test_a_halted_candidate_takes_over_only_to_open_a_term() -> None:
    """It goes on in it, and its heartbeats are of the new term."""
    sequencer, replica = active()
    sequencer.step_down()
    poison = record.build(
        iss=ISSUER,
        iat=NOW,
        txn="test",
        term=1,
        n=2,
        prev="h" * 43,
        carried=[revoke_token("a")],
        signer=LEDGER_KEY,
    )
    assert replica.apply_record(poison, LEASE_NOW, NOW) is Outcome.HALTED
    assert not sequencer.take_over(2, 1)
    assert not sequencer.active
    assert sequencer.take_over(2, 1, opens_term=True)
    statement = term.sign(term_draft.on_head(replica).statement, [ROOT])
    opened = TermOpened(id="e", reason="test", initiator="admin", statement=statement)
    append = sequencer.append_record(sequencer.build([opened], "test", NOW, opens_term=True))
    assert append.subject == "tocsin.ledger.term-opened"
    sequencer.on_ack(3, duplicate=False)
    sequencer.apply_committed(append, LEASE_NOW, NOW)
    assert replica.halted is None
    assert record.parse_unverified(sequencer.build([revoke_token("b")], "test", NOW)).term == 2
    beat = sequencer.append_heartbeat(LEASE_NOW, NOW)
    sequencer.on_ack(4, duplicate=False)
    assert replica.apply_heartbeat(beat.text, LEASE_NOW, NOW) is Outcome.APPLIED


@given(st.integers(50, 60_000), st.floats(0.0, 1.0))
def test_the_next_one_takes_over_in_time_whatever_h_is(heartbeat_ms: int, jitter: float) -> None:
    """After 3 H, and so soon that a second of the promised 3 H + 2 s is left for the takeover."""
    policy = Policy(lease_ms=3_600_000, heartbeat_ms=heartbeat_ms)
    three_s = 3 * heartbeat_ms / 1000
    assert not may_take_over(three_s - 0.001, policy, jitter)
    assert may_take_over(three_s + min(heartbeat_ms / 1000, 1.0) + 0.001, policy, jitter)


def test_candidates_do_not_all_come_at_once() -> None:
    for heartbeat_ms in (200, 1000, 60_000):
        policy = Policy(lease_ms=3_600_000, heartbeat_ms=heartbeat_ms)
        between_s = (3 * heartbeat_ms + 0.5 * min(heartbeat_ms, 1000)) / 1000
        assert may_take_over(between_s, policy, 0.4)
        assert not may_take_over(between_s, policy, 0.6)
