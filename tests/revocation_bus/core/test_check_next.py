"""What a sequencer asks before it appends: also of a record whose predecessor is on its way."""

from __future__ import annotations

import pytest

from tests.support.clock import LEASE_NOW, NOW
from tests.support.ledger import (
    LEDGER_KEY,
    Ledger,
    pinned,
    revoke_key,
    revoke_session,
    revoke_subject,
    revoke_token,
    tick,
)
from tests.support.tokens import ISSUER
from tocsin_revocation_bus.core.record_checks import is_plain
from tocsin_revocation_bus.core.replica import Outcome, Replica
from tocsin_schemas import record
from tocsin_schemas.errors import LedgerHalted, LedgerRejected
from tocsin_schemas.events import Event
from tocsin_schemas.record import Record


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def replica(ledger: Ledger) -> Replica:
    one = Replica(ISSUER, pinned())
    assert one.apply_record(ledger.texts[0], LEASE_NOW, NOW) is Outcome.APPLIED
    return one


def test_two_in_a_row_are_checked_before_either_is_applied(
    ledger: Ledger, replica: Replica
) -> None:
    one = ledger.append(revoke_token("a"), revoke_session("s"))
    two = ledger.append(revoke_subject("u", NOW))
    first = replica.check_next(one, NOW)
    second = replica.check_next(two, NOW, after=first)
    assert second.prev == first.hash
    assert replica.head is not None
    assert replica.head.n == 1, "nothing was changed"
    assert replica.apply_record(one, LEASE_NOW, NOW) is Outcome.APPLIED
    assert replica.check_next(two, NOW, after=first) == second, "as well once it was applied"
    assert replica.apply_record(two, LEASE_NOW, NOW) is Outcome.APPLIED


def test_the_second_must_follow_the_first(ledger: Ledger, replica: Replica) -> None:
    first = replica.check_next(ledger.append(revoke_token("a")), NOW)
    another = Ledger()
    another.append(revoke_token("b"))
    with pytest.raises(LedgerHalted) as halted:
        replica.check_next(another.append(revoke_token("c")), NOW, after=first)
    assert halted.value.code == "chain_broken"
    ledger.append(revoke_token("b"))
    with pytest.raises(LedgerRejected) as rejected:
        replica.check_next(ledger.append(revoke_token("c")), NOW, after=first)
    assert rejected.value.code == "record_gap"
    assert replica.halted is None


def test_the_first_must_follow_the_head(ledger: Ledger, replica: Replica) -> None:
    first = replica.check_next(ledger.append(revoke_token("a")), NOW)
    second = ledger.append(revoke_token("b"))
    another = Ledger()
    other = another.append(revoke_token("c"))
    assert replica.apply_record(other, LEASE_NOW, NOW) is Outcome.APPLIED
    with pytest.raises(LedgerHalted) as halted:
        replica.check_next(second, NOW, after=first)
    assert halted.value.code == "chain_broken"


def parsed(*events: Event) -> Record:
    return record.parse_unverified(Ledger().append(*events))


@pytest.mark.parametrize(
    "event", [revoke_key(LEDGER_KEY.kid), tick("h" * 43), revoke_subject("u", NOW)]
)
def test_what_might_change_a_check_has_to_be_applied_first(
    ledger: Ledger, replica: Replica, event: Event
) -> None:
    """A record that revokes the ledger key, say: nothing that it signs may follow."""
    assert is_plain(parsed(revoke_token("a"), revoke_session("s")))
    first = record.parse_unverified(ledger.append(revoke_token("a"), event))
    assert not is_plain(first)
    with pytest.raises(ValueError, match="depends"):
        replica.check_next(ledger.append(revoke_token("b")), NOW, after=first)
