"""Records and events: what was signed is what is read, and nothing else is a record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import asdict

from tests.support.clock import NOW
from tests.support.forge import header_of, seal
from tests.support.ledger import (
    LEDGER_KEY,
    publish,
    revoke_all,
    revoke_client,
    revoke_key,
    revoke_session,
    revoke_subject,
    revoke_token,
    signed_keyset,
    tick,
)
from tests.support.tokens import ISSUER
from tocsin_schemas import base64url, events, record, strict_json
from tocsin_schemas.errors import LedgerRejected
from tocsin_schemas.events import KINDS, Event, RevocationSettled, TermOpened, Tick
from tocsin_schemas.record import MAX_RECORD_LENGTH, RECORD_TYP

HASH = "h" * 43

_ID = st.text(min_size=1, max_size=30) | st.text(min_size=255, max_size=255)
_TIME = st.integers(0, 2**40)
_WHO = {
    "id": st.from_regex(r"\A[A-Za-z0-9_-]{1,64}\Z"),
    "reason": st.from_regex(r"\A[a-z0-9-]{1,48}\Z"),
    "initiator": st.sampled_from(["user", "admin", "policy", "system"]),
}
_EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.lists(_ID, max_size=3).map(lambda ids: revoke_token(*ids)),
    st.lists(_ID, max_size=3).map(lambda ids: revoke_session(*ids)),
    st.builds(revoke_subject, _ID, _TIME, _TIME),
    st.builds(revoke_client, _ID, _TIME, _TIME),
    st.builds(revoke_all, _TIME, _TIME),
    st.just(revoke_key(LEDGER_KEY.kid)),
    st.just(publish(signed_keyset())),
    st.just(tick(HASH)),
    st.builds(RevocationSettled, n=st.integers(1, 2**53), **_WHO),
    st.builds(TermOpened, statement=st.just(signed_keyset()), **_WHO),
)


def build(*carried: Event, **changes: Any) -> str:
    plain: dict[str, Any] = {
        "iss": ISSUER,
        "iat": NOW,
        "txn": "t",
        "term": 1,
        "n": 2,
        "prev": HASH,
        "signer": LEDGER_KEY,
        **changes,
    }
    return record.build(carried=carried, **plain)


def body(**changes: Any) -> dict[str, Any]:
    """The members of a record with one harmless command."""
    plain = {
        "iss": ISSUER,
        "iat": NOW,
        "jti": "1.2",
        "txn": "t",
        "term": 1,
        "n": 2,
        "prev": HASH,
        "critical": [],
        "events": {},
        **changes,
    }
    return {name: value for name, value in plain.items() if value is not None}


def sealed(members: dict[str, Any] | str | bytes) -> str:
    return seal(header_of(LEDGER_KEY, typ=RECORD_TYP), members, LEDGER_KEY.sign)


@given(
    st.lists(_EVENTS, max_size=5), st.integers(1, 2**53), st.integers(1, 2**53), _TIME, st.text()
)
@settings(max_examples=80, deadline=None)
def test_build_and_parse(carried: list[Event], term: int, n: int, iat: int, txn: str) -> None:
    text = build(*carried, term=term, n=n, iat=iat, txn=txn)
    read = record.parse_unverified(text)
    assert (read.iss, read.iat, read.txn, read.prev) == (ISSUER, iat, txn, HASH)
    assert read.identity == (term, n)
    assert read.text == text
    assert read.hash == record.hash_of(text)
    assert read.unknown == ()
    in_order = {kind: [e for e in carried if type(e) is kind] for kind in KINDS.values()}
    assert {kind: [e for e in read.events if type(e) is kind] for kind in in_order} == in_order


_PUT = ["", " ", '"', ",", "0", "1.0", "-1", "null", "\\u0041", "\\ud800", "\\n", "{}", "[" * 40]
_PUT += ['"id":"x",', '"n":2,', '"iss":null,', '"commands":[],', "é"]
_EDITS = st.lists(
    st.tuples(st.integers(0, 2000), st.integers(0, 3), st.sampled_from(_PUT), st.booleans()),
    min_size=1,
    max_size=2,
)


def what_is_read(read: Any) -> Any:
    """A body's plain members, the commands, and what is unknown."""
    body, *rest = read
    return {name: value for name, value in asdict(body).items() if name != "events"}, rest


@given(st.lists(_EVENTS, max_size=3), _EDITS)
@settings(max_examples=400, deadline=None)
def test_the_short_way_to_read_a_record_finds_what_the_long_one_does(
    carried: list[Event], edits: list[tuple[int, int, str, bool]]
) -> None:
    payload = _payload(build(*carried))
    found = record._read_canonical(payload)
    assert what_is_read(found) == what_is_read(record._read_any(payload))
    for place, length, put, whole in edits:
        values = [at + 1 for at, one in enumerate(payload) if chr(one) in "{[,:"]
        at = values[place % len(values)] if whole else place % len(payload)
        text = put.encode() if whole else put.encode()[:1]
        payload = payload[:at] + text + payload[at + length :]
    found = record._read_canonical(payload)
    if found is not None:
        assert what_is_read(found) == what_is_read(record._read_any(payload))


class Members(list[tuple[str, Any]]):
    """An object's members as they stand, so that a name may stand twice."""


def objects_in(part: Any) -> Iterator[Members]:
    if isinstance(part, Members):
        yield part
        for _, value in part:
            yield from objects_in(value)
    elif isinstance(part, list):
        for one in part:
            yield from objects_in(one)


def written(part: Any) -> str:
    if isinstance(part, Members):
        texts = [f"{written(name)}:{written(value)}" for name, value in part]
        return "{" + ",".join(texts) + "}"
    if isinstance(part, list):
        return "[" + ",".join(map(written, part)) + "]"
    return json.dumps(part, ensure_ascii=False)


@given(st.lists(_EVENTS, max_size=3), st.data())
@settings(max_examples=200, deadline=None)
def test_a_name_that_stands_twice_at_any_depth_is_read_in_no_way(
    carried: list[Event], data: st.DataObject
) -> None:
    """Nothing else is wrong with the payload: the same member, once more in its object."""
    payload = _payload(build(*carried))
    tree = json.loads(payload, object_pairs_hook=Members)
    assert written(tree).encode() == payload
    members = data.draw(st.sampled_from([one for one in objects_in(tree) if one]))
    members.insert(data.draw(st.integers(0, len(members))), data.draw(st.sampled_from(members)))
    twice = written(tree).encode()
    assert record._read_canonical(twice) is None
    with pytest.raises(LedgerRejected):
        record._read_any(twice)


@pytest.mark.parametrize("uri", [events.uri_of("tick"), "urn:tocsin:event:new:1"])
@pytest.mark.parametrize("depth", [200, 300, 2000, 200_000])
def test_deep_nesting_is_refused_and_nothing_else_happens(uri: str, depth: int) -> None:
    payload = _payload(sealed(body(events={uri: {"commands": ["DEEP"]}})))
    deep = payload.replace(b'"DEEP"', b"[" * depth + b"]" * depth)
    if depth == 200 and "new" in uri:
        assert record.parse_unverified(sealed(deep)).unknown == (uri,)
        return
    with pytest.raises(LedgerRejected):
        record.parse_unverified(sealed(deep))


def test_the_hash_is_of_the_text_and_not_of_its_meaning() -> None:
    text = build(revoke_token("a"))
    head, payload, signature = text.split(".")
    first = "B" if signature[0] == "A" else "A"
    other = ".".join([head, payload, first + signature[1:]])
    assert record.hash_of(text) != record.hash_of(other)
    assert len(record.hash_of(text)) == 43
    assert record.hash_of("") != record.GENESIS_PREV
    assert sha256(text.encode()).digest().hex() != record.hash_of(text)


def test_one_record_holds_all_commands_of_a_kind_together() -> None:
    read = record.parse_unverified(
        build(revoke_token("a"), revoke_key("k" * 43), revoke_token("b"))
    )
    assert [type(event).__name__ for event in read.events] == [
        "KeyRevoked",
        "TokensRevoked",
        "TokensRevoked",
    ]


# --- kinds that this version does not know ------------------------------------------------------

KNOWN = events.uri_of("tokens-revoked")
COMMAND = {
    "id": "e",
    "reason": "r",
    "initiator": "user",
    "tokens": [{"jti": "a", "until": NOW}],
}


def test_an_unknown_kind_is_passed_over_and_told() -> None:
    carried = {"urn:tocsin:event:new:1": {"anything": [1]}, KNOWN: {"commands": [COMMAND]}}
    read = record.parse_unverified(sealed(body(events=carried, critical=[KNOWN])))
    assert read.unknown == ("urn:tocsin:event:new:1",)
    assert len(read.events) == 1


@pytest.mark.parametrize(
    "uri",
    [
        "urn:tocsin:event:new:1",
        "urn:tocsin:event:tokens-revoked:2",
        "urn:tocsin:event:tokens-revoked",
        "tokens-revoked",
        "URN:tocsin:event:tokens-revoked:1",
        "",
    ],
)
def test_an_unknown_kind_that_is_critical_is_refused(uri: str) -> None:
    """A later version of a known kind is as unknown as any other."""
    carried = {uri: {"commands": [COMMAND]}, KNOWN: {"commands": [COMMAND]}}
    for critical in ([uri], [uri, KNOWN], [KNOWN, uri]):
        with pytest.raises(LedgerRejected, match="event_unknown"):
            record.parse_unverified(sealed(body(events=carried, critical=critical)))


@pytest.mark.parametrize("others", [{}, {"urn:tocsin:event:new:1": {}}])
def test_what_is_critical_must_be_there(others: dict[str, Any]) -> None:
    """As with `crit` in a header: a name that stands for nothing is a mistake or an attack."""
    carried = {**others, KNOWN: {"commands": [COMMAND]}}
    for absent in ("urn:tocsin:event:absent:1", events.uri_of("key-revoked")):
        with pytest.raises(LedgerRejected, match="record_malformed"):
            record.parse_unverified(sealed(body(events=carried, critical=[absent])))


def test_every_kind_but_ticks_and_settlements_is_critical() -> None:
    kinds: dict[str, Event] = {
        "tokens-revoked": revoke_token("a"),
        "sessions-revoked": revoke_session("a"),
        "subject-revoked-before": revoke_subject("a", NOW),
        "client-revoked-before": revoke_client("a", NOW),
        "all-revoked-before": revoke_all(NOW),
        "key-revoked": revoke_key("k" * 43),
        "keyset-published": publish(signed_keyset()),
        "tick": tick(HASH),
    }
    for kind, carried in kinds.items():
        payload = json.loads(_payload(build(carried)))
        listed = events.uri_of(kind) in payload["critical"]
        assert listed == (kind not in {"tick", "revocation-settled"})


def _payload(text: str) -> bytes:
    return base64url.decode(text.split(".")[1])


def test_the_kinds_are_closed() -> None:
    assert set(KINDS) == {
        "keyset-published",
        "issuer-keys-imported",
        "key-revoked",
        "tokens-revoked",
        "sessions-revoked",
        "subject-revoked-before",
        "client-revoked-before",
        "all-revoked-before",
        "revocation-settled",
        "term-opened",
        "tick",
    }
    assert all(events.kind_of_uri(events.uri_of(kind)) == kind for kind in KINDS)


# --- records that are none ----------------------------------------------------------------------

MALFORMED: dict[str, Any] = {
    "no JSON": "{",
    "a name twice": '{"n":1,' + strict_json.dumps(body())[1:].decode(),
    "nested 300 deep": '{"x":' + "[" * 300 + "]" * 300 + "}",
    "an unknown member": body(admin=True),
    "aud": body(aud="x"),
    "exp": body(exp=NOW),
    "iss missing": body(iss=None),
    "n missing": body(n=None),
    "prev missing": body(prev=None),
    "critical missing": body(critical=None),
    "events missing": body(events=None),
    "events an array": body(events=[]),
    "critical a string": body(critical=KNOWN),
    "critical holds a number": body(critical=[1]),
    "n zero": body(n=0),
    "n negative": body(n=-1),
    "n a float": body(n=2.0),
    "n a string": body(n="2"),
    "n true": body(n=True),
    "n beyond 2^53": body(n=2**53 + 1),
    "term zero": body(term=0),
    "iat a float": body(iat=NOW + 0.5),
    "iat negative": body(iat=-1),
    "iat beyond 2^40": body(iat=2**40 + 1),
    "iss a number": body(iss=1),
    "prev null": {**body(), "prev": None},
}


@pytest.mark.parametrize("bad", [pytest.param(bad, id=name) for name, bad in MALFORMED.items()])
def test_a_malformed_record_is_refused(bad: Any) -> None:
    with pytest.raises(LedgerRejected, match="record_malformed"):
        record.parse_unverified(sealed(bad))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "..",
        "a.b",
        "a.b.c.d",
        "é.é.é",
        "\ud800.\ud800.\ud800",
        "{}",
        "A" * (MAX_RECORD_LENGTH + 1),
        "." * 1000,
        "e30.e30.e30",
    ],
)
def test_noise_is_refused(text: str) -> None:
    with pytest.raises(LedgerRejected, match="record_malformed"):
        record.parse_unverified(text)


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
@settings(max_examples=150, deadline=None)
def test_any_bytes_at_all_give_one_kind_of_error(data: bytes) -> None:
    text = data.decode("latin-1")
    for candidate in (text, f"e30.{text}.e30", sealed(data or b" ")):
        with pytest.raises(LedgerRejected):
            record.parse_unverified(candidate)


def command(**changes: Any) -> dict[str, Any]:
    plain = {**COMMAND, **changes}
    return {name: value for name, value in plain.items() if value is not None}


BAD_COMMANDS: dict[str, Any] = {
    "none": {"commands": []},
    "no list": {"commands": {}},
    "no commands": {},
    "an array": [],
    "null": None,
    "a string": "x",
    "a command that is no object": {"commands": ["x"]},
    "an unknown member": {"commands": [command(note="free text")]},
    "an unknown member inside": {
        "commands": [command(tokens=[{"jti": "a", "until": 1, "note": "x"}])]
    },
    "no id": {"commands": [command(id=None)]},
    "an id with a newline": {"commands": [command(id="e\n")]},
    "an id with a space": {"commands": [command(id="a b")]},
    "an id of 65 characters": {"commands": [command(id="e" * 65)]},
    "a reason in free text": {"commands": [command(reason="He said so.")]},
    "a reason with a newline": {"commands": [command(reason="r\n")]},
    "an initiator that nobody knows": {"commands": [command(initiator="root")]},
    "an empty jti": {"commands": [command(tokens=[{"jti": "", "until": 1}])]},
    "a jti of 256 characters": {"commands": [command(tokens=[{"jti": "j" * 256, "until": 1}])]},
    "a jti that is a number": {"commands": [command(tokens=[{"jti": 1, "until": 1}])]},
    "until missing": {"commands": [command(tokens=[{"jti": "a"}])]},
    "until a float": {"commands": [command(tokens=[{"jti": "a", "until": 1.5}])]},
    "until a string": {"commands": [command(tokens=[{"jti": "a", "until": "1"}])]},
    "until negative": {"commands": [command(tokens=[{"jti": "a", "until": -1}])]},
    "until beyond 2^40": {"commands": [command(tokens=[{"jti": "a", "until": 2**40 + 1}])]},
    "one good and one bad": {"commands": [COMMAND, command(tokens="x")]},
}


@pytest.mark.parametrize(
    "value", [pytest.param(value, id=name) for name, value in BAD_COMMANDS.items()]
)
def test_a_malformed_command_is_refused(value: Any) -> None:
    """Whole: the good commands beside it must not be applied without it."""
    with pytest.raises(LedgerRejected, match="event_malformed"):
        record.parse_unverified(sealed(body(events={KNOWN: value})))


@pytest.mark.parametrize(
    ("kind", "members"),
    [
        ("key-revoked", {"kid": "A" * 43 + "\n"}),
        ("key-revoked", {"kid": "A" * 42}),
        ("key-revoked", {"kid": "../../../../../../../../../../../etc/passwd"}),
        ("tick", {"state_hash": HASH + "\n"}),
        ("tick", {"state_hash": ""}),
        ("revocation-settled", {"n": 0}),
        ("subject-revoked-before", {"sub": "a", "before": 1}),
        ("subject-revoked-before", {"sub": "", "before": 1, "until": 1}),
        ("client-revoked-before", {"client_id": None, "before": 1, "until": 1}),
        ("all-revoked-before", {"before": -1, "until": 1}),
        ("all-revoked-before", {"before": 1, "until": 1, "sub": "a"}),
        ("keyset-published", {"keyset": {"payload": "e30"}}),
        ("keyset-published", {"keyset": {"payload": "e30", "signatures": [{}]}}),
        ("keyset-published", {"keyset": {"payload": "e30", "signatures": [], "header": {}}}),
    ],
)
def test_a_malformed_event_of_another_kind_is_refused(kind: str, members: dict[str, Any]) -> None:
    who = {"id": "e", "reason": "r", "initiator": "user"}
    carried = {events.uri_of(kind): {"commands": [{**who, **members}]}}
    with pytest.raises(LedgerRejected, match="event_malformed"):
        record.parse_unverified(sealed(body(events=carried)))


def test_an_event_of_a_kind_that_is_none_is_refused() -> None:
    with pytest.raises(LedgerRejected, match="event_malformed"):
        events.from_members("everything-forgiven", {})


def test_ids_and_reasons_are_what_the_members_say() -> None:
    event = Tick(id="e", reason="r", initiator="system", state_hash=HASH)
    assert events.from_members("tick", events.to_members(event)) == event
