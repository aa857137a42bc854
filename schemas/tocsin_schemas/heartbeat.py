"""The heartbeat: the sequencer's signed statement that the chain's head is where it says.

It passes the same fence as a record and renews leases; it is no member of the chain.
"""

from typing import Annotated

from msgspec import Meta, Struct, ValidationError, convert, to_builtins

from tocsin_schemas import jws, strict_json
from tocsin_schemas.errors import EncodingRejected, JwsRejected, LedgerRejected
from tocsin_schemas.events import Digest
from tocsin_schemas.jwk import PublicKey
from tocsin_schemas.jws import Signer
from tocsin_schemas.record import Count

HEARTBEAT_TYP = "tocsin-heartbeat+jwt"
MAX_HEARTBEAT_LENGTH = 4096

Nanoseconds = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Milliseconds = Annotated[int, Meta(ge=0, le=2**53)]
ClockId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{16,64}\Z")]


class Heartbeat(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``issuer_time`` is nanoseconds on the clock that ``clock_id`` names; ``utc`` milliseconds."""

    iss: str
    term: Count
    head_n: Count
    head_hash: Digest
    settled_n: Annotated[int, Meta(ge=0, le=2**53)]
    clock_id: ClockId
    issuer_time: Nanoseconds
    utc: Milliseconds


def sign(heartbeat: Heartbeat, signer: Signer) -> str:
    """The heartbeat's text."""
    return jws.sign_compact(to_builtins(heartbeat), signer, HEARTBEAT_TYP)


def verify(text: str, ledger_keys: dict[str, PublicKey]) -> Heartbeat:
    """Check and read a heartbeat.

    Raises:
        LedgerRejected: ``heartbeat_signature`` or ``heartbeat_malformed``.
    """
    try:
        verified = jws.verify_compact(
            text, ledger_keys, typ=HEARTBEAT_TYP, max_length=MAX_HEARTBEAT_LENGTH
        )
    except JwsRejected:
        raise LedgerRejected("heartbeat_signature") from None
    try:
        return convert(strict_json.loads_object(verified.payload), Heartbeat)
    except (EncodingRejected, ValidationError):
        raise LedgerRejected("heartbeat_malformed") from None
