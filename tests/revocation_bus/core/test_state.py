"""The denylist as a fold: deterministic, growing, and forgetting by the ledger's own time alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from tests.support.clock import NOW
from tests.support.facts import facts_of
from tests.support.ledger import (
    revoke_all,
    revoke_client,
    revoke_key,
    revoke_session,
    revoke_subject,
    revoke_token,
    tick,
)
from tests.support.tokens import ISSUER, own_jti
from tocsin_revocation_bus.core import lanes as lanes_module
from tocsin_revocation_bus.core.lanes import Lanes
from tocsin_revocation_bus.core.rules import CutoffRules, DigestRules
from tocsin_revocation_bus.core.state import HORIZON_LAG_S, State, TokenFacts
from tocsin_schemas import jti
from tocsin_schemas.claims import EXP_LEEWAY_S, rule_until
from tocsin_schemas.errors import TokenRejected
from tocsin_schemas.events import (
    AllRevokedBefore,
    ClientRevokedBefore,
    Event,
    KeyRevoked,
    RevokedSession,
    RevokedToken,
    SessionsRevoked,
    SubjectRevokedBefore,
    TokensRevoked,
)
from tocsin_schemas.record import Record
from tocsin_verifier_agent.core.claims_check import check_expiry

HOUR = 3600


def make(*carried: Event, iat: int = NOW, n: int = 1) -> Record:
    return Record(
        iss=ISSUER,
        iat=iat,
        txn="t",
        term=1,
        n=n,
        prev="",
        events=carried,
        unknown=(),
        hash="h" * 43,
        text="",
    )


def folded(*records: Record) -> State:
    state = State()
    for one in records:
        state.fold(one)
    return state


# Few names, so that rules and tokens meet.
_KIDS = st.sampled_from(["k" * 43, "l" * 43])
_OWN = st.integers(0, 5).map(
    lambda n: own_jti(NOW, counter=n % 3, randomness=b"lane-000" + bytes([48 + n // 3]))
)
_FOREIGN = st.sampled_from(["foreign-1", "foreign-2", "a" * 29])
_NAMES = st.sampled_from(["a", "b", "\U0001f514"])
_UNTIL = st.integers(NOW - 2 * HOUR, NOW + 6 * HOUR)
_BEFORE = st.integers(NOW - 100, NOW + 100)


def _events(until: st.SearchStrategy[int]) -> st.SearchStrategy[Event]:
    return st.one_of(
        st.builds(revoke_token, _OWN | _FOREIGN, until=until),
        st.builds(revoke_session, _NAMES, until=until),
        st.builds(revoke_subject, _NAMES, _BEFORE, until=until),
        st.builds(revoke_client, _NAMES, _BEFORE, until=until),
        st.builds(revoke_all, _BEFORE, until=until),
        st.builds(revoke_key, _KIDS),
        st.just(tick("h" * 43)),
    )


_EVENTS = _events(_UNTIL)
_FACTS = st.builds(
    facts_of,
    kid=_KIDS,
    jtis=st.lists(_OWN | _FOREIGN, min_size=1, max_size=2),
    sid=st.none() | _NAMES,
    sub=_NAMES,
    clients=st.lists(_NAMES, max_size=2),
    iat=st.integers(NOW - 120, NOW + 120),
)
# Records as they follow each other: the time never falls, and sometimes jumps.
_STEPS = st.lists(
    st.tuples(st.lists(_EVENTS, max_size=4), st.sampled_from([0, 0, 1, 300, 1800, HOUR, 3 * HOUR])),
    max_size=8,
)


def records_of(steps: Sequence[tuple[list[Event], int]]) -> list[Record]:
    records = []
    iat = NOW
    for n, (carried, seconds) in enumerate(steps, 1):
        iat += seconds
        records.append(make(*carried, iat=iat, n=n))
    return records


# --- a second, slow opinion ---------------------------------------------------------------------


@dataclass
class Model:
    """Every rule ever made, with its end, in plain lists."""

    rules: list[tuple[Any, int]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    latest: int = 0

    def fold(self, record: Record) -> None:
        for event in record.events:
            match event:
                case TokensRevoked():
                    self.rules += [(("jti", one.jti), one.until) for one in event.tokens]
                case SessionsRevoked():
                    self.rules += [(("sid", one.sid), one.until) for one in event.sessions]
                case SubjectRevokedBefore():
                    self.rules.append((("sub", event.sub, event.before), event.until))
                case ClientRevokedBefore():
                    self.rules.append((("client", event.client_id, event.before), event.until))
                case AllRevokedBefore():
                    self.rules.append((("all", event.before), event.until))
                case KeyRevoked():
                    self.keys.add(event.kid)
        self.latest = max(self.latest, record.iat)

    @property
    def horizon(self) -> int:
        return max(0, self.latest - HORIZON_LAG_S)

    def hits(self, token: dict[str, Any], *, in_force_at: int | None) -> bool:
        """Whether a rule hits; with a time, only rules that have not ended by then."""
        if token["kid"] in self.keys:
            return True
        return any(
            self._hits(rule, token)
            for rule, until in self.rules
            if in_force_at is None or until >= in_force_at
        )

    @staticmethod
    def _hits(rule: Any, token: dict[str, Any]) -> bool:
        kind, *rest = rule
        if kind == "jti":
            place = jti.parse(rest[0])
            return any(
                rest[0] == one or (place is not None and place == jti.parse(one))
                for one in token["jtis"]
            )
        if kind == "sid":
            return bool(token["sid"] == rest[0])
        if kind == "sub":
            return bool(token["sub"] == rest[0] and token["iat"] < rest[1])
        if kind == "client":
            return rest[0] in token["clients"] and token["iat"] < rest[1]
        return bool(token["iat"] < rest[0])


_TOKENS = st.fixed_dictionaries(
    {
        "kid": _KIDS,
        "jtis": st.lists(_OWN | _FOREIGN, min_size=1, max_size=2),
        "sid": st.none() | _NAMES,
        "sub": _NAMES,
        "clients": st.lists(_NAMES, max_size=2),
        "iat": st.integers(NOW - 120, NOW + 120),
    }
)


@settings(max_examples=250, deadline=None)
@given(_STEPS, st.lists(_TOKENS, min_size=1, max_size=4))
def test_the_state_agrees_with_the_model(
    steps: list[tuple[list[Event], int]], tokens: list[dict[str, Any]]
) -> None:
    """A rule in force always hits; what no rule ever named never does. In the hour in which a rule
    ends, either is right.
    """
    state, model = State(), Model()
    for record in records_of(steps):
        state.fold(record)
        model.fold(record)
        assert state.horizon == model.horizon
        for token in tokens:
            hit = state.why_rejected(facts_of(**token)) is not None
            if model.hits(token, in_force_at=model.horizon):
                assert hit
            if not model.hits(token, in_force_at=None):
                assert not hit


_ISSUERS = st.sampled_from([None, "https://one.example", "https://two.example"])
_OF_ISSUERS = st.tuples(st.sampled_from(["jti", "sid", "sub", "client"]), _ISSUERS, _NAMES)


@settings(max_examples=150, deadline=None)
@given(st.lists(_OF_ISSUERS, max_size=5), _ISSUERS, _NAMES)
def test_a_name_is_that_of_one_issuer(
    rules: list[tuple[str, str | None, str]], iss: str | None, name: str
) -> None:
    state, none = State(), "nobody"
    far = NOW + HOUR
    for kind, of, named in rules:
        event: Event
        match kind:
            case "jti":
                token = RevokedToken(named, far, of)
                event = structs.replace(revoke_token(), tokens=(token,))
            case "sid":
                event = structs.replace(
                    revoke_session(), sessions=(RevokedSession(named, far, of),)
                )
            case "sub":
                event = structs.replace(revoke_subject(named, NOW + 1, far), iss=of)
            case _:
                event = structs.replace(revoke_client(named, NOW + 1, far), iss=of)
        state.fold(make(event))
    for kind in ("jti", "sid", "sub", "client"):
        facts = facts_of(
            kid="k" * 43,
            jtis=[name if kind == "jti" else none],
            sid=name if kind == "sid" else none,
            sub=name if kind == "sub" else none,
            clients=[name if kind == "client" else none],
            iat=NOW,
            iss=iss,
        )
        assert (state.why_rejected(facts) is not None) == ((kind, iss, name) in rules)


@settings(max_examples=150, deadline=None)
@given(_STEPS, _FACTS, st.integers(0, 7))
def test_rules_never_mask_each_other(
    steps: list[tuple[list[Event], int]], facts: TokenFacts, start: int
) -> None:
    """What one record rejects stays rejected whatever comes later, as long as no rule has ended."""
    endless = NOW + 30 * 24 * HOUR
    state = State()
    hit = False
    for record in records_of(steps):
        carried = tuple(_lasting(event, endless) for event in record.events)
        state.fold(make(*carried, iat=record.iat))
        now_hit = state.why_rejected(facts) is not None
        assert now_hit or not hit
        hit = now_hit


def _lasting(event: Event, until: int) -> Event:
    match event:
        case TokensRevoked():
            return revoke_token(*(one.jti for one in event.tokens), until=until)
        case SessionsRevoked():
            return revoke_session(*(one.sid for one in event.sessions), until=until)
        case SubjectRevokedBefore():
            return revoke_subject(event.sub, event.before, until)
        case ClientRevokedBefore():
            return revoke_client(event.client_id, event.before, until)
        case AllRevokedBefore():
            return revoke_all(event.before, until)
        case _:
            return event


@settings(max_examples=80, deadline=None)
@given(st.lists(_EVENTS, max_size=6), st.randoms(use_true_random=False), _FACTS)
def test_order_inside_a_record_does_not_matter(
    carried: list[Event], random: Random, facts: TokenFacts
) -> None:
    shuffled = carried[:]
    random.shuffle(shuffled)
    one, two = folded(make(*carried)), folded(make(*shuffled))
    assert one.hash() == two.hash()
    assert one.why_rejected(facts) == two.why_rejected(facts)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(_events(st.integers(NOW, NOW + 6 * HOUR)), min_size=1, max_size=6),
    st.randoms(use_true_random=False),
)
def test_the_hash_does_not_depend_on_how_rules_were_grouped(
    carried: list[Event], random: Random
) -> None:
    """One record of many commands, many records of one, in another order, some of them twice.

    A rule that has ended before it is made is another matter: it stays until the next hour of G.
    """
    again = [*carried, *random.sample(carried, random.randint(0, len(carried)))]
    random.shuffle(again)
    together = folded(make(*carried))
    apart = folded(*(make(one, n=n) for n, one in enumerate(again, 1)))
    assert together.hash() == apart.hash()
    assert together.counts() == apart.counts()


@settings(max_examples=60, deadline=None)
@given(_STEPS, st.sets(st.integers(0, 8)))
def test_forgetting_is_deterministic(
    steps: list[tuple[list[Event], int]], restarts: set[int]
) -> None:
    """A replica that starts again from nothing, at any record, has the same state at the same n."""
    records = records_of(steps)
    state = State()
    for n, record in enumerate(records):
        state.fold(record)
        if n in restarts:
            fresh = folded(*records[: n + 1])
            assert fresh.hash() == state.hash()
            assert fresh.counts() == state.counts()
            state = fresh
    assert state.hash() == folded(*records).hash()


@settings(max_examples=100, deadline=None)
@given(_STEPS)
def test_different_states_have_different_hashes(steps: list[tuple[list[Event], int]]) -> None:
    """Folding something that changes a verdict changes the hash."""
    records = records_of(steps)
    before = folded(*records)
    iat = records[-1].iat if records else NOW
    name = "someone-new"
    far = iat + 24 * HOUR
    for event in (
        revoke_token(name, until=far),
        revoke_token(own_jti(NOW, counter=99), until=far),
        revoke_session(name, until=far),
        revoke_subject(name, 1, far),
        revoke_client(name, 1, far),
        revoke_key("m" * 43),
    ):
        after = folded(*records, make(event, iat=iat))
        assert after.hash() != before.hash()
        assert after.hash() != folded(*records, make(iat=iat)).hash()


def test_the_same_name_means_something_else_in_each_kind() -> None:
    kinds: list[Event] = [
        revoke_token("x"),
        revoke_session("x"),
        revoke_subject("x", 1),
        revoke_client("x", 1),
        revoke_all(1),
    ]
    assert len({folded(make(event)).hash() for event in kinds}) == len(kinds)


# --- G ------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=10))
def test_g_is_the_greatest_iat_less_ten_minutes(times: list[int]) -> None:
    state = State()
    for count in range(1, len(times) + 1):
        state.fold(make(iat=times[count - 1]))
        assert state.horizon == max(0, max(times[:count]) - 600)


def test_nothing_but_a_records_iat_moves_g() -> None:
    state = folded(make(iat=NOW))
    horizon = state.horizon
    far = NOW + 100 * HOUR
    state.fold(make(revoke_token("a", until=far), revoke_subject("a", far, far), iat=NOW))
    state.why_rejected(facts_of(kid="k", jtis=["a"], sid=None, sub="a", clients=[], iat=far))
    assert state.horizon == horizon


# --- I2: denials shrink only by G ---------------------------------------------------------------

_LIVES = st.integers(NOW + 1, NOW + 5 * HOUR)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(_OWN | _FOREIGN, _LIVES), min_size=1, max_size=6, unique_by=lambda x: x[0]),
    st.lists(st.sampled_from([0, 1, 60, 599, 1800, 3599, HOUR, 2 * HOUR]), max_size=14),
)
def test_a_denial_goes_only_when_the_token_has_expired_for_everybody(
    lives: list[tuple[str, int]], steps: list[int]
) -> None:
    """The rule as the issuer signs it, until exp and the leeway. Even a verifier whose wall clock
    stands at 0 refuses the token by its exp once the rule has gone.
    """
    state = State()
    for name, exp in lives:
        state.fold(make(revoke_token(name, until=rule_until(exp))))
    iat = NOW
    for seconds in steps:
        iat += seconds
        state.fold(make(iat=iat))
        for name, exp in lives:
            facts = facts_of(kid="k", jtis=[name], sid=None, sub="s", clients=[], iat=NOW)
            if state.why_rejected(facts) is None:
                with pytest.raises(TokenRejected):
                    check_expiry(exp, wall=0.0, horizon=state.horizon)


@given(st.integers(NOW, NOW + 100_000), st.integers(-5, 5))
def test_the_last_second_of_a_rule(exp: int, offset: int) -> None:
    """At G = until the rule is still there; it goes, with its whole hour, only after that."""
    until = rule_until(exp)
    state = folded(make(revoke_session("s", until=until), iat=0))
    state.fold(make(iat=until + HORIZON_LAG_S + offset))
    facts = facts_of(kid="k", jtis=["j"], sid="s", sub="s", clients=[], iat=0)
    gone = state.why_rejected(facts) is None
    assert not gone or state.horizon > until
    if gone:
        assert state.horizon >= exp + EXP_LEEWAY_S


def test_a_revoked_key_is_revoked_for_good() -> None:
    state = folded(make(revoke_key("k" * 43), iat=NOW))
    for iat in (NOW + 100 * 24 * HOUR, 2**40):
        state.fold(make(iat=iat))
    facts = facts_of(kid="k" * 43, jtis=["j"], sid=None, sub="s", clients=[], iat=NOW)
    assert state.why_rejected(facts) == "key_revoked"


def test_a_later_shorter_rule_does_not_shorten_an_earlier_longer_one() -> None:
    far = NOW + 10 * HOUR
    for long, short in (
        (revoke_token("x", until=far), revoke_token("x", until=NOW)),
        (revoke_token(own_jti(NOW, 1), until=far), revoke_token(own_jti(NOW, 1), until=NOW)),
        (revoke_session("x", until=far), revoke_session("x", until=NOW)),
        (revoke_subject("x", NOW, far), revoke_subject("x", NOW, NOW)),
        (revoke_client("x", NOW, far), revoke_client("x", NOW, NOW)),
        (revoke_all(NOW, far), revoke_all(NOW, NOW)),
    ):
        for order in ((long, short), (short, long)):
            state = folded(make(order[0]), make(order[1]), make(iat=NOW + 9 * HOUR))
            jtis = ["x", own_jti(NOW, 1)]
            facts = facts_of(kid="k", jtis=jtis, sid="x", sub="x", clients=["x"], iat=NOW - 1)
            assert state.why_rejected(facts) is not None


def test_a_lower_cutoff_does_not_replace_a_higher_one() -> None:
    far = NOW + 10 * HOUR
    state = folded(make(revoke_subject("x", NOW, far)), make(revoke_subject("x", NOW - 50, far)))
    for iat, hit in ((NOW - 60, True), (NOW - 1, True), (NOW, False)):
        facts = facts_of(kid="k", jtis=["j"], sid=None, sub="x", clients=[], iat=iat)
        assert (state.why_rejected(facts) is not None) == hit


def test_the_generation_moves_with_every_record() -> None:
    state = State()
    for count in range(1, 5):
        state.fold(make())
        assert state.generation == count


# --- lanes --------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 300), max_size=200),
    st.randoms(use_true_random=False),
)
def test_a_lanes_canonical_form_does_not_depend_on_its_history(
    counters: list[int], random: Random
) -> None:
    lane = jti.lane(NOW // HOUR, b"lane-0001")
    shuffled = counters[:]
    random.shuffle(shuffled)
    forms = []
    for order in (sorted(counters), shuffled, counters + counters):
        lanes = Lanes()
        for counter in order:
            lanes.add(jti.place(lane, counter), NOW)
        list(lanes.canonical())  # asked for in between, as a tick does
        for counter in order[:3]:
            lanes.add(jti.place(lane, counter), NOW)
        forms.append(list(lanes.canonical()))
        assert len(lanes) == len(set(counters))
        assert all(jti.place(lane, counter) in lanes for counter in counters)
    assert forms[0] == forms[1] == forms[2]


def test_bulk_runs_and_single_adds_have_one_canonical_form() -> None:
    """A run, an array and a bitmap container hold the same elements in different bytes."""
    lane = jti.lane(1, b"lane-0001")
    lanes = [Lanes(), Lanes()]
    numbers = list(range(70_000))
    Random(7).shuffle(numbers)
    for counter in range(70_000):
        lanes[0].add(jti.place(lane, counter), NOW)
    for counter in numbers:
        lanes[1].add(jti.place(lane, counter), NOW)
    assert list(lanes[0].canonical()) == list(lanes[1].canonical())


def test_lanes_do_not_mix() -> None:
    one, two = (jti.lane(1, bytes([n]) * 9) for n in (1, 2))
    lanes = Lanes()
    lanes.add(jti.place(one, 5), NOW)
    assert jti.place(one, 5) in lanes
    assert jti.place(two, 5) not in lanes
    assert jti.place(one, 6) not in lanes


def test_a_status_page_does_not_spoil_the_digest_while_the_writer_adds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another thread works out a lane's digest; the writer adds to the lane in the middle of it. An
    old digest that was kept would halt the agent at the next tick.
    """
    lane = jti.lane(1, b"lane-0001")
    lanes, expected = Lanes(), Lanes()
    for counter in (1, 2):
        lanes.add(jti.place(lane, counter), NOW)
        expected.add(jti.place(lane, counter), NOW)
    expected.add(jti.place(lane, 3), NOW)

    def interrupted(data: bytes) -> Any:
        lanes.add(jti.place(lane, 3), NOW)
        return hashlib.sha256(data)

    monkeypatch.setattr(lanes_module, "sha256", interrupted)
    list(lanes.canonical())
    monkeypatch.undo()
    assert list(lanes.canonical()) == list(expected.canonical())


def test_a_lane_lives_as_long_as_its_longest_rule() -> None:
    lane = jti.lane(NOW // HOUR, b"lane-0001")
    lanes = Lanes()
    lanes.add(jti.place(lane, 1), NOW)
    lanes.add(jti.place(lane, 2), NOW + 5 * HOUR)
    lanes.drop_before((NOW + 5 * HOUR) // HOUR)
    assert jti.place(lane, 1) in lanes
    lanes.drop_before((NOW + 5 * HOUR) // HOUR + 1)
    assert jti.place(lane, 1) not in lanes
    assert len(lanes) == 0


# --- readers while the writer writes ------------------------------------------------------------


def test_a_reader_that_walks_the_rules_is_not_disturbed_by_the_writer() -> None:
    """Verifying threads are inside these walks whenever the writer adds or drops an hour."""

    step = 10
    digests, cutoffs = DigestRules(), CutoffRules()

    class Meddling(bytes):
        """A digest whose comparison lets the writer in."""

        def __hash__(self) -> int:
            nonlocal step
            step += 1
            digests.add(b"x" * 16, step * HOUR)
            cutoffs.add(b"x" * 16, 1, step * HOUR)
            digests.drop_before(step // 2)
            cutoffs.drop_before(step // 2)
            return bytes.__hash__(self)

        __eq__ = bytes.__eq__

    for hour in range(5, 10):
        digests.add(b"y" * 16, hour * HOUR)
        cutoffs.add(b"y" * 16, 5, hour * HOUR)
    assert Meddling(b"z" * 16) not in digests
    assert not cutoffs.hits(Meddling(b"z" * 16), 1)
