"""Heartbeats, clock replies and term statements: signed, typed, and closed to unknown members."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.clock import NOW
from tests.support.forge import b64, header_of, octets, seal
from tests.support.ledger import CLOCK, LEDGER_KEY, NONCE, ROOT, TOKEN_KEY, make_keyset
from tests.support.tokens import ISSUER
from tocsin_schemas import clock_reply, heartbeat, jws, keyset, term
from tocsin_schemas.clock_reply import CLOCK_REPLY_TYP
from tocsin_schemas.errors import DocumentRejected, LedgerRejected
from tocsin_schemas.heartbeat import HEARTBEAT_TYP
from tocsin_schemas.record import RECORD_TYP
from tocsin_schemas.term import TermStatement

KEYS = {LEDGER_KEY.kid: LEDGER_KEY.public}
HASH = "h" * 43

BEAT: dict[str, Any] = {
    "iss": ISSUER,
    "term": 1,
    "head_n": 1,
    "head_hash": HASH,
    "settled_n": 0,
    "clock_id": CLOCK,
    "issuer_time": 1,
    "utc": NOW * 1000,
}
REPLY: dict[str, Any] = {
    "iss": ISSUER,
    "nonce": NONCE,
    "clock_id": CLOCK,
    "issuer_time0": 1,
    "utc": NOW * 1000,
    "heartbeat": None,
}
Read = Callable[[str, dict[str, Any]], Any]


def sealed(members: Any, typ: str) -> str:
    return seal(header_of(LEDGER_KEY, typ=typ), members, LEDGER_KEY.sign)


def test_good_ones_are_read() -> None:
    assert heartbeat.verify(sealed(BEAT, HEARTBEAT_TYP), KEYS).head_hash == HASH
    assert clock_reply.verify(sealed(REPLY, CLOCK_REPLY_TYP), KEYS).nonce == NONCE
    carrying = {**REPLY, "heartbeat": sealed(BEAT, HEARTBEAT_TYP)}
    assert clock_reply.verify(sealed(carrying, CLOCK_REPLY_TYP), KEYS).heartbeat is not None


BAD_BEATS: dict[str, dict[str, Any]] = {
    "an unknown member": {"admin": True},
    "head_n zero": {"head_n": 0},
    "head_n a float": {"head_n": 1.0},
    "head_n a string": {"head_n": "1"},
    "head_hash short": {"head_hash": "h"},
    "head_hash with a newline": {"head_hash": HASH + "\n"},
    "clock_id short": {"clock_id": "c"},
    "clock_id with a newline": {"clock_id": CLOCK + "\n"},
    "clock_id with a space": {"clock_id": CLOCK + " "},
    "issuer_time negative": {"issuer_time": -1},
    "issuer_time beyond 63 bits": {"issuer_time": 2**63},
    "issuer_time a float": {"issuer_time": 1.5},
    "settled_n negative": {"settled_n": -1},
    "utc negative": {"utc": -1},
    "utc missing": {"utc": None},
    "term zero": {"term": 0},
}
BAD_REPLIES: dict[str, dict[str, Any]] = {
    "an unknown member": {"admin": True},
    "nonce short": {"nonce": "n" * 21},
    "nonce with a newline": {"nonce": NONCE + "\n"},
    "issuer_time0 negative": {"issuer_time0": -1},
    "heartbeat a number": {"heartbeat": 1},
    "heartbeat too long": {"heartbeat": "h" * 4097},
}


@pytest.mark.parametrize("changes", BAD_BEATS.values(), ids=BAD_BEATS)
def test_a_malformed_heartbeat_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(LedgerRejected, match="heartbeat_malformed"):
        heartbeat.verify(sealed({**BEAT, **changes}, HEARTBEAT_TYP), KEYS)


@pytest.mark.parametrize("changes", BAD_REPLIES.values(), ids=BAD_REPLIES)
def test_a_malformed_clock_reply_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(LedgerRejected, match="clock_malformed"):
        clock_reply.verify(sealed({**REPLY, **changes}, CLOCK_REPLY_TYP), KEYS)


@pytest.mark.parametrize("typ", [RECORD_TYP, CLOCK_REPLY_TYP, "at+jwt", "JWT", "", None])
def test_what_the_ledger_key_signed_as_something_else_is_no_heartbeat(typ: Any) -> None:
    with pytest.raises(LedgerRejected, match="heartbeat_signature"):
        heartbeat.verify(sealed(BEAT, typ), KEYS)


@pytest.mark.parametrize("typ", [RECORD_TYP, HEARTBEAT_TYP, "at+jwt", "JWT", "", None])
def test_what_the_ledger_key_signed_as_something_else_is_no_clock_reply(typ: Any) -> None:
    with pytest.raises(LedgerRejected, match="clock_signature"):
        clock_reply.verify(sealed(REPLY, typ), KEYS)


@pytest.mark.parametrize(
    ("members", "typ", "read"),
    [(BEAT, HEARTBEAT_TYP, heartbeat.verify), (REPLY, CLOCK_REPLY_TYP, clock_reply.verify)],
)
def test_another_keys_signature_is_refused(members: Any, typ: str, read: Read) -> None:
    good = sealed(members, typ)
    forged = [
        seal(header_of(TOKEN_KEY, typ=typ), members, TOKEN_KEY.sign),
        seal(header_of(LEDGER_KEY, typ=typ), members, TOKEN_KEY.sign),
        good[:-4] + "AAAA",
        f"{good.split('.')[0]}.{b64(octets(members))}.",
        good + "x" * 10_000,
        "",
        "é",
    ]
    for text in forged:
        with pytest.raises(LedgerRejected, match="signature"):
            read(text, KEYS)
    for text in (good,):
        read(text, KEYS)
        with pytest.raises(LedgerRejected, match="signature"):
            read(text, {})


@pytest.mark.parametrize(
    "payload", [b"[]", b"null", b"{", b'{"iss":"a","iss":"b"}', b"\xff", b'{"x":' + b"[" * 300]
)
def test_a_payload_that_is_no_strict_object_is_refused(payload: bytes) -> None:
    with pytest.raises(LedgerRejected, match="heartbeat_malformed"):
        heartbeat.verify(sealed(payload, HEARTBEAT_TYP), KEYS)
    with pytest.raises(LedgerRejected, match="clock_malformed"):
        clock_reply.verify(sealed(payload, CLOCK_REPLY_TYP), KEYS)


STATEMENT = TermStatement(
    iss=ISSUER, term=2, base_term=1, base_n=3, base_hash=HASH, state_hash=HASH
)


def test_a_term_statement_is_read_back() -> None:
    assert term.parse_unverified(term.sign(STATEMENT, [ROOT])) == STATEMENT


def test_a_keyset_is_no_term_statement() -> None:
    with pytest.raises(DocumentRejected):
        term.parse_unverified(keyset.sign(make_keyset(), [ROOT]))


def test_header_segments_name_the_signer() -> None:
    header = jws.parse_header(jws.header_segment(LEDGER_KEY, HEARTBEAT_TYP))
    assert (header.kid, header.alg, header.typ) == (LEDGER_KEY.kid, "Ed25519", HEARTBEAT_TYP)
