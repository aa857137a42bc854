"""The ledger record: a Security Event Token (RFC 8417) with its place in the chain.

``(term, n)`` is a record's identity, ``prev`` the SHA-256 of the previous record's text. The text
is what is hashed, published, journaled and kept; nothing is ever encoded again.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Annotated, Any

from msgspec import Meta, Struct, ValidationError, convert

from tocsin_schemas import base64url, events, jws, strict_json
from tocsin_schemas.errors import EncodingRejected, JwsRejected, LedgerRejected
from tocsin_schemas.events import Event
from tocsin_schemas.jws import Signer
from tocsin_schemas.keyset import Seconds

RECORD_TYP = "secevent+jwt"
MAX_RECORD_LENGTH = 1_000_000  # below the NATS default of 1 MiB for a message
GENESIS_PREV = ""

Count = Annotated[int, Meta(ge=1, le=2**53)]


class RecordBody(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A record's members as they are signed."""

    iss: str
    iat: Seconds
    jti: str
    txn: str
    term: Count
    n: Count
    prev: str
    critical: tuple[str, ...]
    events: dict[str, Any]


class Record(Struct, frozen=True, kw_only=True):
    """A record read from its text; ``hash`` is the text's SHA-256, base64url.

    ``unknown`` holds the URIs of events that this version does not know and need not.
    """

    iss: str
    iat: int
    txn: str
    term: int
    n: int
    prev: str
    events: tuple[Event, ...]
    unknown: tuple[str, ...]
    hash: str
    text: str

    @property
    def identity(self) -> tuple[int, int]:
        """``(term, n)``."""
        return self.term, self.n


def hash_of(text: str) -> str:
    """The SHA-256 of a record's text, base64url: what the next record's ``prev`` holds."""
    return base64url.encode(sha256(text.encode("ascii")).digest())


def build(
    *,
    iss: str,
    iat: int,
    txn: str,
    term: int,
    n: int,
    prev: str,
    carried: Sequence[Event],
    signer: Signer,
) -> str:
    """Sign a record that carries the events given, grouped by kind; return its text."""
    grouped: dict[str, dict[str, list[Any]]] = {}
    critical: list[str] = []
    for event in carried:
        kind = events.KIND_OF[type(event)]
        uri = events.uri_of(kind)
        if uri not in grouped:
            grouped[uri] = {"commands": []}
            if kind not in events.NOT_CRITICAL:
                critical.append(uri)
        grouped[uri]["commands"].append(events.to_members(event))
    body: Mapping[str, Any] = {
        "iss": iss,
        "iat": iat,
        "jti": f"{term}.{n}",
        "txn": txn,
        "term": term,
        "n": n,
        "prev": prev,
        "critical": critical,
        "events": grouped,
    }
    return jws.sign_compact(body, signer, RECORD_TYP)


def parse_unverified(text: str) -> Record:
    """Read a record whose signature has not been checked; the replica does both.

    Raises:
        LedgerRejected: ``record_malformed``, ``event_malformed``, or ``event_unknown`` for a
            critical event that this version does not know.
    """
    try:
        segment = jws.split(text, MAX_RECORD_LENGTH)[1]
        body = convert(strict_json.loads_object(base64url.decode(segment)), RecordBody)
        digest = hash_of(text)
    except (JwsRejected, EncodingRejected, ValidationError, UnicodeEncodeError):
        raise LedgerRejected("record_malformed") from None
    carried: list[Event] = []
    unknown: list[str] = []
    for uri, value in body.events.items():
        kind = events.kind_of_uri(uri)
        if kind is None:
            unknown.append(uri)
        else:
            carried.extend(events.all_from_members(kind, _commands(value)))
    if any(uri not in body.events for uri in body.critical):
        raise LedgerRejected("record_malformed")
    if not set(body.critical).isdisjoint(unknown):
        raise LedgerRejected("event_unknown")
    return Record(
        iss=body.iss,
        iat=body.iat,
        txn=body.txn,
        term=body.term,
        n=body.n,
        prev=body.prev,
        events=tuple(carried),
        unknown=tuple(unknown),
        hash=digest,
        text=text,
    )


def _commands(value: object) -> list[object]:
    commands = value.get("commands") if isinstance(value, dict) else None
    if not isinstance(commands, list) or not commands:
        raise LedgerRejected("event_malformed")
    return commands
