"""What a replica does with every input that is not the next good one: nothing, or halt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.clock import LEASE_NOW, NOW, SECOND
from tests.support.forge import header_of, seal
from tests.support.keys import signer
from tests.support.ledger import (
    CLOCK,
    DAY,
    LEDGER_KEY,
    NONCE,
    ROOT,
    TOKEN_KEY,
    Ledger,
    fingerprint,
    key_entry,
    make_keyset,
    pinned,
    publish,
    revoke_all,
    revoke_key,
    revoke_session,
    revoke_subject,
    revoke_token,
    root_set,
    signed_keyset,
    tick,
)
from tests.support.tokens import ISSUER
from tocsin_revocation_bus.core.record_checks import MAX_AHEAD_S
from tocsin_revocation_bus.core.replica import AgentState, Outcome, Replica
from tocsin_schemas import record, term
from tocsin_schemas.events import Event, TermOpened
from tocsin_schemas.record import RECORD_TYP
from tocsin_schemas.term import TermStatement

STRANGER = signer("Ed25519", "stranger")
NEW_LEDGER_KEY = signer("Ed25519", "new-ledger")
NEW_ROOT = signer("Ed25519", "new-root")
HASH = "h" * 43


def apply(replica: Replica, text: str, wall: float = NOW) -> Outcome:
    return replica.apply_record(text, LEASE_NOW, wall)


def beat(replica: Replica, text: str, wall: float = NOW) -> Outcome:
    return replica.apply_heartbeat(text, LEASE_NOW, wall)


def ledger_of_three() -> Ledger:
    ledger = Ledger()
    ledger.append(revoke_token("foreign-1"))
    ledger.append(revoke_session("session-1"))
    return ledger


# --- records that are passed over ---------------------------------------------------------------

BadRecord = Callable[[Ledger], str]


def raw(members: dict[str, Any] | bytes | str, typ: str = RECORD_TYP) -> str:
    return seal(header_of(LEDGER_KEY, typ=typ), members, LEDGER_KEY.sign)


def body(ledger: Ledger, **changes: Any) -> dict[str, Any]:
    return {
        "iss": ISSUER,
        "iat": NOW,
        "jti": "x",
        "txn": "t",
        "term": 1,
        "n": len(ledger.texts) + 1,
        "prev": record.hash_of(ledger.texts[-1]),
        "critical": [],
        "events": {},
        **changes,
    }


def keyset_by(*by: Any, **changes: Any) -> BadRecord:
    return lambda ledger: ledger.draft(publish(signed_keyset(2, by=by, **changes)))


NOISE: dict[str, tuple[BadRecord, str]] = {
    "no record": (lambda _: "noise", "record_malformed"),
    "empty": (lambda _: "", "record_malformed"),
    "no ASCII": (lambda _: "é.é.é", "record_malformed"),
    "an unknown member": (lambda ledger: raw(body(ledger, admin=True)), "record_malformed"),
    "nested 300 deep": (
        lambda _: raw('{"x":' + "[" * 300 + "]" * 300 + "}"),
        "record_malformed",
    ),
    "a malformed event": (
        lambda ledger: raw(body(ledger, events={"urn:tocsin:event:tick:1": {}})),
        "event_malformed",
    ),
    "an unknown critical event": (
        lambda ledger: raw(body(ledger, events={"urn:new": {}}, critical=["urn:new"])),
        "event_unknown",
    ),
    "a stranger's signature": (
        lambda ledger: ledger.draft(signer=STRANGER),
        "record_signature",
    ),
    "a token key's signature": (
        lambda ledger: ledger.draft(signer=TOKEN_KEY),
        "record_signature",
    ),
    "a root's signature": (lambda ledger: ledger.draft(signer=ROOT), "record_signature"),
    "the right kid, a stranger's signature": (
        lambda ledger: seal(header_of(LEDGER_KEY, typ=RECORD_TYP), body(ledger), STRANGER.sign),
        "record_signature",
    ),
    "no signature": (
        lambda ledger: ledger.draft().rsplit(".", 1)[0] + ".AAAA",
        "record_signature",
    ),
    "typ of a heartbeat": (
        lambda ledger: raw(body(ledger), "tocsin-heartbeat+jwt"),
        "record_signature",
    ),
    "typ of a token": (lambda ledger: raw(body(ledger), "at+jwt"), "record_signature"),
    "another issuer": (lambda ledger: ledger.draft(iss="https://other.example"), "issuer"),
    "signed before the key may sign": (
        lambda ledger: ledger.draft(iat=NOW - DAY - 1),
        "record_signature",
    ),
    "signed after the key may sign": (
        lambda ledger: ledger.draft(iat=NOW + 30 * DAY + 1),
        "record_signature",
    ),
    "ahead of our clock": (
        lambda ledger: ledger.draft(iat=NOW + MAX_AHEAD_S + 1),
        "clock_ahead",
    ),
    "a keyset of nobody's": (keyset_by(), "root_mismatch"),
    "a keyset of a stranger's": (keyset_by(STRANGER), "root_mismatch"),
    "a keyset of the ledger key's": (keyset_by(LEDGER_KEY), "root_mismatch"),
    "a keyset with roots of its own": (
        keyset_by(STRANGER, roots=root_set([STRANGER])),
        "root_mismatch",
    ),
    "a keyset whose new roots the old did not sign": (
        keyset_by(NEW_ROOT, roots=root_set([NEW_ROOT], version=2)),
        "root_mismatch",
    ),
    "a keyset whose new roots did not sign": (
        keyset_by(ROOT, roots=root_set([NEW_ROOT], version=2)),
        "root_mismatch",
    ),
    "a keyset of another issuer": (keyset_by(ROOT, iss="https://other.example"), "issuer"),
    "an old keyset": (
        lambda ledger: ledger.draft(publish(signed_keyset(1))),
        "keyset_version",
    ),
    "a keyset that has run out": (
        keyset_by(ROOT, issued_at=NOW - DAY, expires_at=NOW),
        "keyset_expired",
    ),
    "a keyset with a bad key": (
        keyset_by(ROOT, keys=(key_entry(LEDGER_KEY, "ledger", kid="A" * 43),)),
        "key_malformed",
    ),
    "a good keyset and a bad one": (
        lambda ledger: ledger.draft(
            publish(signed_keyset(2)), publish(signed_keyset(3, by=[STRANGER]))
        ),
        "root_mismatch",
    ),
    "a term that the roots did not open": (
        lambda ledger: ledger.draft(opening(ledger, by=STRANGER), term=2),
        "root_mismatch",
    ),
    "a term of another issuer": (
        lambda ledger: ledger.draft(opening(ledger, iss="https://other.example"), term=2),
        "issuer",
    ),
}


def opening(ledger: Ledger, by: Any = ROOT, **changes: Any) -> TermOpened:
    members: dict[str, Any] = {
        "iss": ISSUER,
        "term": 2,
        "base_term": 1,
        "base_n": len(ledger.texts),
        "base_hash": record.hash_of(ledger.texts[-1]),
        "state_hash": ledger.replica().state.hash(),
        **changes,
    }
    statement = term.sign(TermStatement(**members), [by])
    return TermOpened(id="e", reason="r", initiator="admin", statement=statement)


@pytest.mark.parametrize(("build", "code"), NOISE.values(), ids=NOISE)
def test_noise_changes_nothing_and_is_counted(build: BadRecord, code: str) -> None:
    ledger = ledger_of_three()
    replica = ledger.live_replica()
    before = fingerprint(replica)
    assert apply(replica, build(ledger)) is Outcome.NOISE
    assert replica.noise == {code: 1}
    assert fingerprint(replica) == before
    assert replica.halted is None
    assert replica.status(LEASE_NOW, NOW).state is AgentState.LIVE

    ledger.append(revoke_token("foreign-2"))
    assert apply(replica, ledger.texts[-1]) is Outcome.APPLIED


BLOCKING = {name: row for name, row in NOISE.items() if row[1] != "clock_ahead"}


@pytest.mark.parametrize(("build", "code"), BLOCKING.values(), ids=BLOCKING)
def test_an_agent_that_waits_for_the_place_of_such_a_record_says_why(
    build: BadRecord, code: str
) -> None:
    """If it stands in the ledger, the chain does not go on for us: refused, with the reason."""
    ledger = ledger_of_three()
    replica = ledger.live_replica()
    apply(replica, build(ledger))
    assert beat(replica, ledger.beat(head_n=4, head_hash=HASH)) is Outcome.BEHIND
    later = LEASE_NOW + 121 * SECOND
    status = replica.status(later, NOW)
    assert (status.state, status.reason) == (AgentState.REFUSED, code)


@pytest.mark.parametrize("n", [5, 6, 100])
def test_a_gap_changes_nothing(n: int) -> None:
    ledger = ledger_of_three()
    replica = ledger.live_replica()
    before = fingerprint(replica)
    assert apply(replica, ledger.draft(revoke_token("x"), n=n, prev=HASH)) is Outcome.BEHIND
    assert fingerprint(replica) == before
    assert not replica.noise


# --- records that halt --------------------------------------------------------------------------

HALTS: dict[str, tuple[BadRecord, str]] = {
    "another record at a known place": (
        lambda ledger: ledger.draft(
            revoke_token("other"), n=3, prev=record.hash_of(ledger.texts[1])
        ),
        "fork",
    ),
    "another first record": (
        lambda _: Ledger(signed_keyset(9)).texts[0],
        "fork",
    ),
    "a wrong prev": (lambda ledger: ledger.draft(prev=HASH), "chain_broken"),
    "no prev": (lambda ledger: ledger.draft(prev=""), "chain_broken"),
    "a new term that nobody opened": (lambda ledger: ledger.draft(term=2), "chain_broken"),
    "a time that falls": (lambda ledger: ledger.draft(iat=NOW - 1), "chain_broken"),
    "a cutoff ahead of its record": (
        lambda ledger: ledger.draft(revoke_subject("s", NOW + 6)),
        "cutoff_ahead",
    ),
    "a cutoff of everything ahead of its record": (
        lambda ledger: ledger.draft(revoke_all(NOW + 6)),
        "cutoff_ahead",
    ),
    "a tick of another state": (lambda ledger: ledger.draft(tick(HASH)), "state_hash"),
    "a term on an older base": (
        lambda ledger: ledger.draft(
            opening(ledger, base_n=2, base_hash=record.hash_of(ledger.texts[1])),
            term=2,
            n=3,
            prev=record.hash_of(ledger.texts[1]),
        ),
        "term_base",
    ),
    "a term on another record": (
        lambda ledger: ledger.draft(opening(ledger, base_hash=HASH), term=2),
        "term_base",
    ),
    "a term that skips one": (
        lambda ledger: ledger.draft(opening(ledger, term=3), term=3),
        "term_base",
    ),
    "a term on another state": (
        lambda ledger: ledger.draft(opening(ledger, state_hash=HASH), term=2),
        "state_hash",
    ),
}


@pytest.mark.parametrize(("build", "code"), HALTS.values(), ids=HALTS)
def test_signed_evidence_halts_and_is_kept(build: BadRecord, code: str) -> None:
    ledger = ledger_of_three()
    replica = ledger.live_replica()
    held = (replica.head, replica.state.hash(), replica.trust)
    text = build(ledger)
    assert apply(replica, text) is Outcome.HALTED
    assert replica.halted is not None
    assert replica.halted.code == code
    assert replica.evidence is not None
    assert replica.evidence[1] == text
    assert (replica.head, replica.state.hash(), replica.trust) == held
    status = replica.status(LEASE_NOW, NOW)
    assert (status.state, status.reason) == (AgentState.REFUSED, code)
    assert replica.valid_until() is None


@pytest.mark.parametrize(("build", "code"), HALTS.values(), ids=HALTS)
def test_nothing_moves_a_halted_replica(build: BadRecord, code: str) -> None:
    ledger = ledger_of_three()
    replica = ledger.live_replica()
    apply(replica, build(ledger))
    before = fingerprint(replica)
    ledger.append(revoke_token("foreign-2"))
    assert apply(replica, ledger.texts[-1]) is Outcome.HALTED
    assert beat(replica, ledger.beat()) is Outcome.HALTED
    replica.sync_sent(NONCE, LEASE_NOW)
    reply = ledger.reply(heartbeat=ledger.beat(head_n=3, head_hash=HASH))
    assert replica.apply_clock_reply(reply, LEASE_NOW, NOW) is Outcome.HALTED
    assert fingerprint(replica) == before
    assert replica.halted is not None
    assert replica.halted.code == code


@pytest.mark.parametrize(("build", "code"), HALTS.values(), ids=HALTS)
def test_without_the_ledger_keys_signature_it_is_no_evidence(build: BadRecord, code: str) -> None:
    """Nobody else can halt a fleet."""
    ledger = ledger_of_three()
    replica = ledger.live_replica()
    before = fingerprint(replica)
    head, payload, _ = build(ledger).split(".")
    for signature in ("AAAA", "A" * 86):
        assert apply(replica, f"{head}.{payload}.{signature}") is Outcome.NOISE
    assert fingerprint(replica) == before
    assert replica.status(LEASE_NOW, NOW).state is AgentState.LIVE


def test_records_of_the_past_are_old_and_change_nothing() -> None:
    ledger = ledger_of_three()
    replica = ledger.live_replica()
    before = fingerprint(replica)
    for text in [*ledger.texts, *reversed(ledger.texts)]:
        assert apply(replica, text) is Outcome.OLD
    assert fingerprint(replica) == before


def test_a_retired_ledger_key_cannot_halt_a_fleet_with_the_past() -> None:
    """Its signature counted at the time; but it has been revoked since."""
    ledger = ledger_of_three()
    keys = (key_entry(NEW_LEDGER_KEY, "ledger"), key_entry(TOKEN_KEY, "token"))
    ledger.append(publish(signed_keyset(2, keys=keys)))
    ledger.append(revoke_key(LEDGER_KEY.kid), signer=NEW_LEDGER_KEY)
    replica = ledger.replica()
    other = ledger.draft(revoke_token("other"), n=3, prev=record.hash_of(ledger.texts[1]))
    assert apply(replica, other) is Outcome.NOISE
    assert replica.halted is None


# --- the first record ---------------------------------------------------------------------------


def test_a_wrong_root_is_refused_from_the_start() -> None:
    replica = Replica(ISSUER, pinned([STRANGER]))
    assert apply(replica, Ledger().texts[0]) is Outcome.NOISE
    assert replica.head is None
    status = replica.status(LEASE_NOW, NOW)
    assert (status.state, status.reason) == (AgentState.REFUSED, "root_mismatch")


def test_another_issuers_ledger_is_refused_from_the_start() -> None:
    replica = Replica("https://other.example", pinned())
    assert apply(replica, Ledger().texts[0]) is Outcome.NOISE
    status = replica.status(LEASE_NOW, NOW)
    assert (status.state, status.reason) == (AgentState.REFUSED, "issuer")


def test_a_record_before_any_keyset_is_a_gap() -> None:
    replica = Replica(ISSUER, pinned())
    for text in ledger_of_three().texts[1:]:
        assert apply(replica, text) is Outcome.BEHIND
    assert replica.head is None


def test_heartbeats_and_replies_before_any_keyset_are_noise() -> None:
    ledger = Ledger()
    replica = Replica(ISSUER, pinned())
    replica.sync_sent(NONCE, LEASE_NOW)
    assert beat(replica, ledger.beat()) is Outcome.NOISE
    assert replica.apply_clock_reply(ledger.reply(), LEASE_NOW, NOW) is Outcome.NOISE
    assert replica.status(LEASE_NOW, NOW).state is AgentState.STARTING


# --- heartbeats ---------------------------------------------------------------------------------

BAD_BEATS: dict[str, tuple[dict[str, Any], str]] = {
    "a stranger's": ({"signer": STRANGER}, "heartbeat_signature"),
    "a token key's": ({"signer": TOKEN_KEY}, "heartbeat_signature"),
    "a root's": ({"signer": ROOT}, "heartbeat_signature"),
    "another issuer's": ({"iss": "https://other.example"}, "issuer"),
    "ahead of our clock": ({"utc": (NOW + MAX_AHEAD_S) * 1000 + 1}, "clock_ahead"),
}


@pytest.mark.parametrize(("changes", "code"), BAD_BEATS.values(), ids=BAD_BEATS)
def test_a_bad_heartbeat_changes_nothing(changes: dict[str, Any], code: str) -> None:
    ledger = ledger_of_three()
    replica = ledger.live_replica()
    before = fingerprint(replica)
    later = LEASE_NOW + SECOND
    text = ledger.beat(later, settled_n=3, **changes)
    assert replica.apply_heartbeat(text, later + 1, NOW) is Outcome.NOISE
    assert replica.noise == {code: 1}
    assert fingerprint(replica) == before


def test_a_heartbeat_of_another_record_at_a_known_place_is_a_fork() -> None:
    for n, digest in ((3, HASH), (1, HASH)):
        ledger = ledger_of_three()
        replica = ledger.live_replica()
        text = ledger.beat(head_n=n, head_hash=digest)
        assert beat(replica, text) is Outcome.HALTED
        assert replica.halted is not None
        assert replica.halted.code == "fork"
        assert replica.evidence is not None
        assert replica.evidence[1] == text


def test_a_record_that_a_heartbeat_has_contradicted_is_a_fork() -> None:
    """The other order: the heartbeat came first. Both are signed, so one of them is a lie."""
    ledger = ledger_of_three()
    replica = ledger.live_replica()
    assert beat(replica, ledger.beat(head_n=4, head_hash=HASH)) is Outcome.BEHIND
    before = replica.state.hash()
    assert apply(replica, ledger.draft(revoke_token("x"))) is Outcome.HALTED
    assert replica.halted is not None
    assert replica.halted.code == "fork"
    assert replica.state.hash() == before


def test_a_fork_inside_a_clock_reply_halts_and_says_so() -> None:
    ledger = ledger_of_three()
    replica = ledger.live_replica()
    replica.sync_sent(NONCE, LEASE_NOW)
    reply = ledger.reply(heartbeat=ledger.beat(head_hash=HASH))
    assert replica.apply_clock_reply(reply, LEASE_NOW, NOW) is Outcome.HALTED
    assert replica.valid_until() is None
    assert replica.lease.proven_at is None


# --- clock replies ------------------------------------------------------------------------------

BAD_REPLIES: dict[str, tuple[dict[str, Any], str]] = {
    "a stranger's": ({"signer": STRANGER}, "clock_signature"),
    "a token key's": ({"signer": TOKEN_KEY}, "clock_signature"),
    "another issuer's": ({"iss": "https://other.example"}, "clock_unasked"),
    "one that nobody asked for": ({"nonce": "n" * 24}, "clock_unasked"),
}


@pytest.mark.parametrize(("changes", "code"), BAD_REPLIES.values(), ids=BAD_REPLIES)
def test_a_bad_clock_reply_changes_nothing(changes: dict[str, Any], code: str) -> None:
    ledger = ledger_of_three()
    replica = ledger.replica()
    replica.sync_sent(NONCE, LEASE_NOW)
    before = fingerprint(replica)
    reply = ledger.reply(heartbeat=ledger.beat(), **changes)
    assert replica.apply_clock_reply(reply, LEASE_NOW, NOW) is Outcome.NOISE
    assert replica.noise == {code: 1}
    assert fingerprint(replica) == before
    assert not replica.lease.knows(CLOCK)


def test_a_clock_reply_alone_renews_nothing() -> None:
    ledger = ledger_of_three()
    replica = ledger.replica()
    replica.sync_sent(NONCE, LEASE_NOW)
    assert replica.apply_clock_reply(ledger.reply(), LEASE_NOW, NOW) is Outcome.APPLIED
    assert replica.valid_until() is None
    assert replica.status(LEASE_NOW, NOW).reason == "no_heartbeat"


def test_a_bad_heartbeat_in_a_good_reply_renews_nothing() -> None:
    for bad in ("x", Ledger().beat(signer=STRANGER)):
        ledger = ledger_of_three()
        replica = ledger.replica()
        replica.sync_sent(NONCE, LEASE_NOW)
        replica.apply_clock_reply(ledger.reply(heartbeat=bad), LEASE_NOW, NOW)
        assert replica.lease.knows(CLOCK)
        assert replica.valid_until() is None


def test_requests_are_bounded_and_the_oldest_is_forgotten() -> None:
    ledger = ledger_of_three()
    replica = ledger.replica()
    for number in range(20):
        replica.sync_sent(f"nonce-{number:020}", LEASE_NOW + number)
    first, last = (ledger.reply(nonce=f"nonce-{number:020}") for number in (0, 19))
    assert replica.apply_clock_reply(first, LEASE_NOW, NOW) is Outcome.NOISE
    assert replica.apply_clock_reply(last, LEASE_NOW, NOW) is Outcome.APPLIED


# --- unknown events -----------------------------------------------------------------------------


def test_an_unknown_event_that_is_not_critical_is_passed_over_and_counted() -> None:
    ledger = ledger_of_three()
    replica = ledger.live_replica()
    text = raw(body(ledger, events={"urn:new": {"x": 1}}))
    assert apply(replica, text) is Outcome.APPLIED
    assert replica.unknown_events == {"urn:new": 1}
    assert replica.head is not None
    assert replica.head.n == 4


def test_an_unknown_event_that_is_critical_closes_the_agent() -> None:
    """It cannot go on, so it cannot renew: no later record or heartbeat helps."""
    ledger = ledger_of_three()
    replica = ledger.live_replica()
    ledger.texts.append(raw(body(ledger, events={"urn:new": {}}, critical=["urn:new"])))
    assert apply(replica, ledger.texts[-1]) is Outcome.NOISE
    ledger.append(revoke_token("x"))
    assert apply(replica, ledger.texts[-1]) is Outcome.BEHIND
    later = LEASE_NOW + 121 * SECOND
    assert replica.apply_heartbeat(ledger.beat(later), later, NOW) is Outcome.BEHIND
    status = replica.status(later, NOW)
    assert status.state in {AgentState.REFUSED, AgentState.STALE}
    until = replica.valid_until()
    assert until is not None
    assert until < later


# --- any order, any number of times -------------------------------------------------------------


def busy_ledger() -> Ledger:
    ledger = Ledger()
    ledger.append(revoke_token("foreign-1"))
    ledger.append(revoke_session("session-1"), revoke_token("foreign-2"))
    keys = (key_entry(NEW_LEDGER_KEY, "ledger"), *make_keyset().keys)
    ledger.append(publish(signed_keyset(2, keys=keys)))
    ledger.append(revoke_key(LEDGER_KEY.kid), signer=NEW_LEDGER_KEY, iat=NOW + 20)
    ledger.append(revoke_subject("s", NOW), signer=NEW_LEDGER_KEY, iat=NOW + 30)
    ledger.append(revoke_all(NOW - 5), signer=NEW_LEDGER_KEY, iat=NOW + 30)
    return ledger


class StrangersLedger(Ledger):
    """Another ledger for the same issuer, with roots and a ledger key of its own."""

    def __init__(self) -> None:
        keys = (key_entry(STRANGER, "ledger"),)
        roots = root_set([STRANGER])
        super().__init__(signed_keyset(1, by=[STRANGER], roots=roots, keys=keys))

    def draft(self, *carried: Event, **changes: Any) -> str:
        return super().draft(*carried, **{"signer": STRANGER, **changes})


BUSY = busy_ledger()
STRANGERS = StrangersLedger()
EVIL = [
    "noise",
    BUSY.texts[2][:-4] + "AAAA",
    STRANGERS.texts[0],
    BUSY.draft(revoke_token("x"), signer=STRANGER),
    BUSY.draft(revoke_token("x"), iss="https://other.example", signer=NEW_LEDGER_KEY),
    BUSY.draft(publish(signed_keyset(3, by=[STRANGER])), signer=NEW_LEDGER_KEY, iat=NOW + 30),
    BUSY.draft(revoke_token("x"), iat=NOW + 30),  # by the ledger key that was revoked
]


@settings(max_examples=120, deadline=None)
@given(st.lists(st.sampled_from([*range(len(BUSY.texts)), *(-1 - i for i in range(len(EVIL)))])))
def test_replayed_reordered_and_forged_records_never_move_a_replica_off_the_chain(
    order: list[int],
) -> None:
    """I3 and I5: whatever comes in whatever order, the head only goes on, one record at a time, and
    the state at n is the state at n.
    """
    expected = [Replica(ISSUER, pinned()).state.hash()]
    honest = Replica(ISSUER, pinned())
    for text in BUSY.texts:
        honest.apply_record(text, LEASE_NOW, NOW)
        expected.append(honest.state.hash())

    replica = Replica(ISSUER, pinned())
    n = 0
    for choice in order:
        text = BUSY.texts[choice] if choice >= 0 else EVIL[-1 - choice]
        outcome = apply(replica, text)
        if choice == n:
            assert outcome is Outcome.APPLIED
            n += 1
        else:
            assert outcome in {Outcome.OLD, Outcome.BEHIND, Outcome.NOISE}
        assert replica.halted is None
        assert (0 if replica.head is None else replica.head.n) == n
        assert replica.state.hash() == expected[n]


def test_the_busy_ledger_is_good() -> None:
    replica = BUSY.replica()
    assert replica.head is not None
    assert replica.head.n == len(BUSY.texts)
    assert [apply(replica, text) for text in EVIL] == [Outcome.NOISE] * len(EVIL)
