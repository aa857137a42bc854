"""The ledger record: a Security Event Token (RFC 8417) with its place in the chain.

``(term, n)`` is a record's identity, ``prev`` the SHA-256 of the previous record's text. The text
is what is hashed, published, journaled and kept; nothing is ever encoded again.
"""

from collections.abc import Sequence
from hashlib import sha256
from itertools import chain
from typing import Annotated, Any

from msgspec import Meta, Raw, Struct, ValidationError, convert, json

from tocsin_schemas import base64url, events, jws, strict_json
from tocsin_schemas.errors import EncodingRejected, JwsRejected, LedgerRejected
from tocsin_schemas.events import ByUri, Event, RawEvent
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


class _WholeBody(RecordBody, frozen=True, kw_only=True):
    """Read to the last of its events, all of which are known."""

    events: ByUri  # type: ignore[valid-type]


_WHOLE_BODY = json.Decoder(_WholeBody)
_CANONICAL = json.Encoder(order="sorted")


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
    carried: Sequence[Event | RawEvent],
    signer: Signer,
) -> str:
    """Sign a record that carries the events given, grouped by kind; return its text.

    What has not been read stands in it as it is: :func:`parse_unverified` says whether it is good.
    """
    commands: dict[str, list[Event | Raw]] = {}
    for event in carried:
        if isinstance(event, RawEvent):
            commands.setdefault(event.kind, []).append(event.members)
        else:
            commands.setdefault(events.KIND_OF[type(event)], []).append(event)
    body = RecordBody(
        iss=iss,
        iat=iat,
        jti=f"{term}.{n}",
        txn=txn,
        term=term,
        n=n,
        prev=prev,
        critical=tuple(events.uri_of(kind) for kind in commands if kind not in events.NOT_CRITICAL),
        events={events.uri_of(kind): {"commands": found} for kind, found in commands.items()},
    )
    return jws.sign_bytes(_CANONICAL.encode(body), signer, RECORD_TYP)


def parse_unverified(text: str) -> Record:
    """Read a record whose signature has not been checked; the replica does both.

    Raises:
        LedgerRejected: ``record_malformed``, ``event_malformed``, or ``event_unknown`` for a
            critical event that this version does not know.
    """
    try:
        segment = jws.split(text, MAX_RECORD_LENGTH)[1]
        payload = base64url.decode(segment)
        digest = hash_of(text)
    except (JwsRejected, EncodingRejected, UnicodeEncodeError):
        raise LedgerRejected("record_malformed") from None
    body, commands, unknown = _read_canonical(payload) or _read_any(payload)
    missed = [uri for uri in body.critical if uri not in commands]
    if missed:
        there = set(missed).issubset(unknown)
        raise LedgerRejected("event_unknown" if there else "record_malformed")
    return Record(
        iss=body.iss,
        iat=body.iat,
        txn=body.txn,
        term=body.term,
        n=body.n,
        prev=body.prev,
        events=tuple(chain.from_iterable(commands.values())),
        unknown=unknown,
        hash=digest,
        text=text,
    )


_Commands = dict[str, list[Event]]
_Read = tuple[RecordBody, _Commands, tuple[str, ...]]
"""A body, its commands by URI, and the URIs that are not known."""


def _read_canonical(payload: bytes) -> _Read | None:
    """What :func:`_read_any` reads, at a quarter of its time, or None where it is to be asked.

    The payload is read by its types and written again: where that gives the same bytes no other
    parser can have read it otherwise.
    """
    try:
        body = _WHOLE_BODY.decode(payload)
        if _CANONICAL.encode(body) != payload:
            return None
        return body, events.commands_in(body.events), ()
    except (*events.UNREADABLE, LedgerRejected):
        return None


def _read_any(payload: bytes) -> _Read:
    try:
        body = convert(strict_json.loads_object(payload), RecordBody)
    except (EncodingRejected, ValidationError):
        raise LedgerRejected("record_malformed") from None
    commands: _Commands = {}
    for uri, value in body.events.items():
        kind = events.kind_of_uri(uri)
        if kind is not None:
            commands[uri] = events.all_from_members(kind, _commands(value))
    return body, commands, tuple(uri for uri in body.events if uri not in commands)


def _commands(value: object) -> list[object]:
    commands = value.get("commands") if isinstance(value, dict) else None
    if not isinstance(commands, list) or not commands:
        raise LedgerRejected("event_malformed")
    return commands
