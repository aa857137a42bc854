"""The closed, versioned union of events that a ledger record can carry (RFC 8417).

In a record, ``events`` maps an event's URI to ``{"commands": [...]}``: the sequencer commits in
groups, so that one record holds all commands of a kind that waited. A command carries an id (what
a caller is answered with), a reason and an initiator, each from a closed alphabet: free text stays
out of a chain that nobody can edit.
"""

import re
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Annotated, Any, Final, Generic, Literal, TypeAlias, TypeVar

from msgspec import (
    UNSET,
    DecodeError,
    Meta,
    Raw,
    Struct,
    UnsetType,
    ValidationError,
    convert,
    defstruct,
    field,
    json,
    to_builtins,
)

from tocsin_schemas.errors import LedgerRejected
from tocsin_schemas.issuer_profile import IssuerName
from tocsin_schemas.jwk import MAX_KID_LENGTH
from tocsin_schemas.keyset import PublicJwk, Seconds, Thumbprint
from tocsin_schemas.signed_document import SignedDocument

MAX_CUTOFF_AHEAD_S = 5

Identifier = Annotated[str, Meta(min_length=1, max_length=255)]
EventId = Annotated[str, Meta(min_length=1, max_length=64)]
"""Of base64url characters: ``_checked`` looks."""
ReasonCode = Annotated[str, Meta(min_length=1, max_length=48)]
"""Of small letters, digits and hyphens."""
Initiator = Literal["user", "admin", "policy", "system"]
Digest = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{43}\Z")]


class Command(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """What every command has: ``id`` is the event id, the rest says who wanted it and why."""

    id: EventId
    reason: ReasonCode
    initiator: Initiator


class RevokedToken(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """A token by its jti; the rule may go when the ledger's time has passed ``until``.

    Here and below ``iss`` names a foreign issuer; without it, what is revoked is our own issuer's.
    """

    jti: Identifier
    until: Seconds
    iss: IssuerName | None = None


class RevokedSession(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """A session by its sid."""

    sid: Identifier
    until: Seconds
    iss: IssuerName | None = None


class TokensRevoked(Command, frozen=True):
    """Each token listed, and every token derived from it."""

    tokens: tuple[RevokedToken, ...]


class SessionsRevoked(Command, frozen=True):
    """Every token of each session listed."""

    sessions: tuple[RevokedSession, ...]


class SubjectRevokedBefore(Command, frozen=True, omit_defaults=True):
    """Every token of ``sub`` issued before ``before`` (seconds of UTC)."""

    sub: Identifier
    before: Seconds
    until: Seconds
    iss: IssuerName | None = None


class ClientRevokedBefore(Command, frozen=True, omit_defaults=True):
    """Every token of ``client_id``, or with it in ``act``, issued before ``before``."""

    client_id: Identifier
    before: Seconds
    until: Seconds
    iss: IssuerName | None = None


class AllRevokedBefore(Command, frozen=True):
    """Every token of every issuer, issued before ``before``."""

    before: Seconds
    until: Seconds


class KeyRevoked(Command, frozen=True):
    """A token or ledger key, or a foreign issuer's, by its thumbprint and for good: no later
    keyset or import brings it back.
    """

    kid: Thumbprint


class KeysetPublished(Command, frozen=True):
    """A keyset, signed by the roots."""

    keyset: SignedDocument


class ImportedKey(Struct, frozen=True, forbid_unknown_fields=True):
    """A foreign issuer's key under the kid that the issuer gave it."""

    kid: Annotated[str, Meta(min_length=1, max_length=MAX_KID_LENGTH)]
    jwk: PublicJwk


class IssuerKeysImported(Command, frozen=True):
    """All keys of a foreign issuer, in place of those known; the roots vouch for the issuer, in
    the keyset, and our issuer for having fetched its keys.
    """

    iss: IssuerName
    keys: Annotated[tuple[ImportedKey, ...], Meta(max_length=64)]


class RevocationSettled(Command, frozen=True):
    """The records up to ``n`` hold on every verifier that can still accept anything."""

    n: Annotated[int, Meta(ge=1)]


class TermOpened(Command, frozen=True):
    """The last resort: a new term on top of a base, signed by the roots."""

    statement: SignedDocument


class Tick(Command, frozen=True):
    """An idle ledger's sign of life; ``state_hash`` is of the state before this record."""

    state_hash: Digest


Event: TypeAlias = (
    TokensRevoked
    | SessionsRevoked
    | SubjectRevokedBefore
    | ClientRevokedBefore
    | AllRevokedBefore
    | KeyRevoked
    | KeysetPublished
    | IssuerKeysImported
    | RevocationSettled
    | TermOpened
    | Tick
)


class RawEvent(Struct, frozen=True, gc=False):
    """An event of which only the kind has been read; ``members`` is the JSON of the rest."""

    kind: str
    members: Raw


KINDS: Final[Mapping[str, type[Event]]] = {
    "tokens-revoked": TokensRevoked,
    "sessions-revoked": SessionsRevoked,
    "subject-revoked-before": SubjectRevokedBefore,
    "client-revoked-before": ClientRevokedBefore,
    "all-revoked-before": AllRevokedBefore,
    "key-revoked": KeyRevoked,
    "keyset-published": KeysetPublished,
    "issuer-keys-imported": IssuerKeysImported,
    "revocation-settled": RevocationSettled,
    "term-opened": TermOpened,
    "tick": Tick,
}
KIND_OF: Final[Mapping[type[Event], str]] = {kind: name for name, kind in KINDS.items()}
# Of all others: an agent that does not know one must not go on as if it were up to date. Without
# an import it accepts less, never more.
NOT_CRITICAL: Final = frozenset({"tick", "revocation-settled", "issuer-keys-imported"})

_URI_PREFIX = "urn:tocsin:event:"
_URI_VERSION = ":1"


def uri_of(kind: str) -> str:
    """The URI that names ``kind`` in a record."""
    return f"{_URI_PREFIX}{kind}{_URI_VERSION}"


_KIND_BY_URI = {uri_of(kind): kind for kind in KINDS}


def kind_of_uri(uri: str) -> str | None:
    """The kind that ``uri`` names, or None where this version does not know it."""
    return _KIND_BY_URI.get(uri)


def to_members(event: Event) -> dict[str, Any]:
    """The event's JSON members, without its kind."""
    members: dict[str, Any] = to_builtins(event)
    return members


UNREADABLE: Final = (DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for a text that is no JSON of the type."""

_Kind = TypeVar("_Kind")


class _Commands(Struct, Generic[_Kind]):
    """What a record holds of one kind."""

    commands: Annotated[list[_Kind], Meta(min_length=1)]


_LISTS: Final = {name: list[kind] for name, kind in KINDS.items()}  # type: ignore[valid-type]
_LIST_DECODERS: Final = {name: json.Decoder(kind) for name, kind in _LISTS.items()}

ByUri: Final = defstruct(
    "ByUri",
    [
        (
            name.replace("-", "_"),
            _Commands[kind] | UnsetType,  # type: ignore[valid-type]
            field(name=uri_of(name), default=UNSET),
        )
        for name, kind in KINDS.items()
    ],
    frozen=True,
    forbid_unknown_fields=True,
)
"""A record's ``events``, where it knows no others than this version."""
_URIS: Final = tuple(map(uri_of, sorted(KINDS)))
_values_of: Final = attrgetter(*(name.replace("-", "_") for name in sorted(KINDS)))


def from_members(kind: str, members: object) -> Event:
    """Read one event of a known kind.

    Raises:
        LedgerRejected: ``event_malformed``.
    """
    return all_from_members(kind, [members])[0]


def all_from_members(kind: str, members: list[object]) -> list[Event]:
    """Read the events of a known kind, each from its members.

    Raises:
        LedgerRejected: ``event_malformed``.
    """
    try:
        found: list[Event] = convert(members, _LISTS[kind])
    except (KeyError, ValidationError):
        raise LedgerRejected("event_malformed") from None
    return _checked(found)


def all_from_texts(kind: str, texts: Sequence[Raw]) -> list[Event]:
    """As :func:`all_from_members`, from the JSON text of each event's members."""
    try:
        found: list[Event] = _LIST_DECODERS[kind].decode(b"[" + b",".join(texts) + b"]")
    except (KeyError, *UNREADABLE):
        raise LedgerRejected("event_malformed") from None
    return _checked(found)


def commands_in(by_uri: Struct) -> dict[str, list[Event]]:
    """The events of each URI that a ``ByUri`` has.

    Raises:
        LedgerRejected: ``event_malformed``.
    """
    there = zip(_URIS, _values_of(by_uri), strict=True)
    return {uri: _checked(found.commands) for uri, found in there if found is not UNSET}


_IDS: Final = re.compile(r"[A-Za-z0-9_-]*")
_REASON: Final = re.compile(r"[a-z0-9-]*")


def _checked(found: list[Event]) -> list[Event]:
    """Their ids and reasons are of their alphabets.

    All at once: a pattern for each of them would take four times as long as all else about reading.
    """
    if not _IDS.fullmatch("".join([event.id for event in found])):
        raise LedgerRejected("event_malformed")
    if not all(_REASON.fullmatch(reason) for reason in {event.reason for event in found}):
        raise LedgerRejected("event_malformed")
    return found
