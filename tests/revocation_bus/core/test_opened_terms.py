"""What the roots say after a halt: a replica goes on from its own head, and from nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.revocation_bus.core.test_replica_inputs import (
    HALTS,
    HASH,
    STRANGER,
    BadRecord,
    apply,
    beat,
    ledger_of_three,
    opening,
)
from tests.support.clock import LEASE_NOW, NOW, SECOND
from tests.support.ledger import (
    Ledger,
    fingerprint,
    pinned,
    revoke_token,
)
from tests.support.tokens import ISSUER
from tocsin_revocation_bus.core.replica import AgentState, Outcome, Replica
from tocsin_schemas import record
from tocsin_schemas.errors import DocumentRejected, LedgerHalted, LedgerRejected

OF_THE_OLD_TERM = {
    name: build
    for name, (build, _) in HALTS.items()
    if record.parse_unverified(build(ledger_of_three())).term == 1
}


def halted_by(build: BadRecord) -> tuple[Ledger, Replica]:
    ledger = ledger_of_three()
    replica = ledger.live_replica()
    assert apply(replica, build(ledger)) is Outcome.HALTED
    return ledger, replica


@pytest.mark.parametrize(("build", "code"), HALTS.values(), ids=HALTS)
def test_a_halted_replica_goes_on_in_a_term_on_its_head(build: BadRecord, code: str) -> None:
    ledger, replica = halted_by(build)
    rules = replica.state.counts()
    evidence = replica.evidence
    text = ledger.append(opening(ledger), term=2)
    assert apply(replica, text) is Outcome.APPLIED
    assert replica.halted is None
    assert replica.evidence == evidence
    assert replica.noise == {code: 1}
    assert replica.state.counts() == rules
    assert replica.head is not None
    assert (replica.head.term, replica.head.n) == (2, 4)
    assert replica.status(LEASE_NOW, NOW).state is not AgentState.LIVE  # nothing proves it yet
    assert replica.valid_until() is None

    ledger.append(revoke_token("foreign-2"), term=2)
    assert apply(replica, ledger.texts[-1]) is Outcome.APPLIED
    replica.sync_sent("n" * 24, LEASE_NOW)
    reply = ledger.reply(nonce="n" * 24, heartbeat=ledger.beat(term=2))
    assert replica.apply_clock_reply(reply, LEASE_NOW, NOW) is Outcome.APPLIED
    assert replica.status(LEASE_NOW, NOW).state is AgentState.LIVE


@pytest.mark.parametrize("build", OF_THE_OLD_TERM.values(), ids=OF_THE_OLD_TERM)
def test_the_evidence_counts_for_nothing_in_the_new_term(build: BadRecord) -> None:
    """It still stands in the stream, and somebody reads that from its start."""
    ledger, replica = halted_by(build)
    poison = build(ledger)
    apply(replica, ledger.append(opening(ledger), term=2))
    before = fingerprint(replica)
    for text in (poison, *ledger.texts):
        assert apply(replica, text) in (Outcome.OLD, Outcome.NOISE)
    assert beat(replica, ledger.beat(head_n=3, head_hash=HASH)) is not Outcome.HALTED
    assert fingerprint(replica) == before
    assert replica.halted is None


def test_one_that_reads_it_all_goes_on_too() -> None:
    ledger = ledger_of_three()
    poison = ledger.draft(revoke_token("lost"), prev=HASH)
    after = ledger.draft(revoke_token("lost-too"), n=5, prev=record.hash_of(poison))
    replica = Replica(ISSUER, pinned())
    ledger.feed(replica)
    opened = ledger.append(opening(ledger), term=2)
    outcomes = [apply(replica, text) for text in (poison, after, opened)]
    assert outcomes == [Outcome.HALTED, Outcome.HALTED, Outcome.APPLIED]
    assert replica.state.hash() == ledger.replica().state.hash()


@pytest.mark.parametrize("halted", [False, True])
def test_no_heartbeat_speaks_against_the_roots(halted: bool) -> None:
    """Whoever has the ledger key knows which place the record will have."""
    ledger = ledger_of_three()
    replica = ledger.live_replica()
    assert beat(replica, ledger.beat(term=2, head_n=4, head_hash=HASH)) is Outcome.BEHIND
    if halted:
        assert apply(replica, ledger.draft(prev=HASH)) is Outcome.HALTED
    assert apply(replica, ledger.append(opening(ledger), term=2)) is Outcome.APPLIED
    assert replica.halted is None


def test_two_records_of_the_new_term_are_a_fork() -> None:
    ledger, replica = halted_by(HALTS["a wrong prev"][0])
    apply(replica, ledger.append(opening(ledger), term=2))
    other = ledger.draft(revoke_token("other"), n=4, term=2, prev=record.hash_of(ledger.texts[2]))
    assert apply(replica, other) is Outcome.HALTED
    assert replica.halted is not None
    assert replica.halted.code == "fork"


OPENINGS: dict[str, Callable[[Ledger], str]] = {
    "not by the roots": lambda ledger: ledger.draft(opening(ledger, by=STRANGER), term=2),
    "on an older record": lambda ledger: ledger.draft(
        opening(ledger, base_n=2, base_hash=record.hash_of(ledger.texts[1])),
        term=2,
        n=3,
        prev=record.hash_of(ledger.texts[1]),
    ),
    "on another record": lambda ledger: ledger.draft(opening(ledger, base_hash=HASH), term=2),
    "on another state": lambda ledger: ledger.draft(opening(ledger, state_hash=HASH), term=2),
    "of the term after the next": lambda ledger: ledger.draft(opening(ledger, term=3), term=3),
    "of another issuer": lambda ledger: ledger.draft(opening(ledger, iss="https://o"), term=2),
    "in a record of the old term": lambda ledger: ledger.draft(opening(ledger), term=1),
    "in a record that no ledger key signed": lambda ledger: ledger.draft(
        opening(ledger), term=2, signer=STRANGER
    ),
}


@pytest.mark.parametrize("build", OPENINGS.values(), ids=OPENINGS)
def test_no_other_opening_moves_a_halted_replica(build: Callable[[Ledger], str]) -> None:
    ledger, replica = halted_by(HALTS["a wrong prev"][0])
    before, evidence = fingerprint(replica), replica.evidence
    assert apply(replica, build(ledger)) is Outcome.HALTED
    assert (fingerprint(replica), replica.evidence) == (before, evidence)
    assert replica.halted is not None
    assert replica.halted.code == "chain_broken"


def test_an_opening_of_the_past_does_not_mend_a_later_halt() -> None:
    ledger, replica = halted_by(HALTS["a wrong prev"][0])
    opened = ledger.append(opening(ledger), term=2)
    apply(replica, opened)
    assert apply(replica, ledger.draft(prev=HASH, term=2)) is Outcome.HALTED
    assert apply(replica, opened) is Outcome.HALTED
    assert replica.halted is not None


def test_a_sequencer_may_check_an_opening_although_it_is_halted() -> None:
    ledger, replica = halted_by(HALTS["a wrong prev"][0])
    before = fingerprint(replica)
    with pytest.raises(LedgerHalted, match="does not follow"):
        replica.check_next(ledger.draft(revoke_token("x")), NOW)
    text = ledger.draft(opening(ledger), term=2)
    assert replica.check_next(text, NOW).identity == (2, 4)
    assert fingerprint(replica) == before
    assert replica.halted is not None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"by": STRANGER}, "root_mismatch"),
        ({"iss": "https://other.example"}, "issuer"),
        ({"base_n": 2}, "term_base"),
        ({"base_hash": HASH}, "term_base"),
        ({"term": 3}, "term_base"),
        ({"state_hash": HASH}, "state_hash"),
    ],
)
def test_a_statement_is_checked_before_it_is_a_record(changes: dict[str, Any], code: str) -> None:
    ledger = ledger_of_three()
    replica = ledger.replica()
    assert replica.check_opening(opening(ledger).statement).term == 2
    with pytest.raises((LedgerRejected, DocumentRejected)) as caught:
        replica.check_opening(opening(ledger, **changes).statement)
    assert caught.value.code == code
    assert replica.halted is None


def test_a_lease_needs_a_heartbeat_of_the_new_term() -> None:
    ledger, replica = halted_by(HALTS["a wrong prev"][0])
    old = ledger.beat(LEASE_NOW + SECOND)
    apply(replica, ledger.append(opening(ledger), term=2))
    replica.sync_sent("n" * 24, LEASE_NOW)
    reply = ledger.reply(nonce="n" * 24, heartbeat=old)
    replica.apply_clock_reply(reply, LEASE_NOW, NOW)
    assert replica.lease.proven_at is None
