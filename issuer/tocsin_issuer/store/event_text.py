"""Events as the outbox keeps them: the JSON of ``[{"kind": …, "members": {…}}, …]``.

Where a script decides a number (a cutoff, a time until), Python writes the text up to that place
and the script the rest. Nothing is substituted into the text, so no name in it can be mistaken for
a place to fill in.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec import Raw, json

from tocsin_schemas import base64url, strict_json
from tocsin_schemas.errors import LedgerRejected, RequestRejected
from tocsin_schemas.events import (
    KIND_OF,
    UNREADABLE,
    AllRevokedBefore,
    ClientRevokedBefore,
    Event,
    RawEvent,
    SessionsRevoked,
    SubjectRevokedBefore,
    all_from_texts,
    from_members,
    to_members,
)

MAX_ENTRY_LENGTH: Final = 500_000
"""In bytes: what surely fits into one record, encoded and signed."""

Cutoff = SubjectRevokedBefore | ClientRevokedBefore | AllRevokedBefore


def new_event_id(entropy: Callable[[int], bytes] = os.urandom) -> str:
    """A random event id: ``ev_`` and 22 base64url characters."""
    return "ev_" + base64url.encode(entropy(16))


def encode(events: Sequence[Event]) -> str:
    """The text of one outbox entry.

    Events are checked as a reader will check them: what no verifier could read must never get in.

    Raises:
        LedgerRejected: ``event_malformed``.
        RequestRejected: ``too_many_events`` (413).
    """
    items = [_item(event) for event in events]
    for item in items:
        from_members(item["kind"], item["members"])
    text = strict_json.dumps(items)
    if len(text) > MAX_ENTRY_LENGTH:
        raise RequestRejected("too_many_events", "too many events for one record", status=413)
    return text.decode()


_ENTRIES: Final = json.Decoder(list[tuple[RawEvent, ...]])


def split_all(texts: str, count: int) -> list[tuple[RawEvent, ...]]:
    """The events of each of ``count`` entries, whose texts stand in ``texts`` between commas.

    Raises:
        LedgerRejected: ``event_malformed``. An entry is not ours, or of a newer version: whoever
            reads on past it would lose a revocation.
    """
    try:
        entries = _ENTRIES.decode(f"[{texts}]")
    except UNREADABLE:
        raise LedgerRejected("event_malformed") from None
    if len(entries) != count:
        raise LedgerRejected("event_malformed")
    return entries


def read_all(entries: Sequence[Sequence[RawEvent]]) -> list[tuple[Event, ...]]:
    """Read the events of many entries, at a fraction of what each by itself would cost.

    Raises:
        LedgerRejected: ``event_malformed``: any of them.
    """
    members: dict[str, list[Raw]] = {}
    for entry in entries:
        for event in entry:
            members.setdefault(event.kind, []).append(event.members)
    found = {kind: iter(all_from_texts(kind, each)) for kind, each in members.items()}
    return [tuple([next(found[event.kind]) for event in entry]) for entry in entries]


def cutoff_opening(event: Cutoff) -> str:
    """The text up to the value of ``before``; ``,"until":N}}]`` follows it."""
    encode([event])
    item = _item(event)
    del item["members"]["before"], item["members"]["until"]
    return strict_json.dumps([item]).decode().removesuffix("}}]") + ',"before":'


def sessions_opening(event: SessionsRevoked) -> str:
    """The text up to the first session; ``]}}]`` follows the last one."""
    encode([event])
    item = _item(event)
    item["members"]["sessions"] = []
    return strict_json.dumps([item]).decode().removesuffix("]}}]")


def session_opening(sid: str, iss: str | None = None) -> str:
    """The text of one session up to the value of ``until``; ``}`` follows it."""
    members = {"sid": sid} if iss is None else {"iss": iss, "sid": sid}
    return strict_json.dumps(members).decode().removesuffix("}") + ',"until":'


def _item(event: Event) -> dict[str, Any]:
    return {"kind": KIND_OF[type(event)], "members": to_members(event)}
