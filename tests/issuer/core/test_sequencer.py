"""What the active sequencer takes for its own, and what for another's."""

from __future__ import annotations

from tests.support.clock import LEASE_NOW, NOW
from tests.support.ledger import LEDGER_KEY, ROOT, pinned, publish, revoke_token, signed_keyset
from tests.support.tokens import ISSUER
from tocsin_issuer.core.sequencer import Committed, Sequencer
from tocsin_issuer.keys import term_draft
from tocsin_revocation_bus.core.replica import Outcome, Replica
from tocsin_schemas import record, term
from tocsin_schemas.events import TermOpened


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
