"""Clock sync: an agent's nonce, and a sequencer candidate's signed answer.

A reply alone never renews a lease: only a heartbeat has passed the fence. It carries the newest
committed heartbeat so that an agent that has just synced need not wait for the next.
"""

from typing import Annotated

from msgspec import Meta, Struct, ValidationError, convert, to_builtins

from tocsin_schemas import jws, strict_json
from tocsin_schemas.errors import EncodingRejected, JwsRejected, LedgerRejected
from tocsin_schemas.heartbeat import MAX_HEARTBEAT_LENGTH, ClockId, Milliseconds, Nanoseconds
from tocsin_schemas.jwk import PublicKey
from tocsin_schemas.jws import Signer

CLOCK_REPLY_TYP = "tocsin-clock+jwt"
MAX_CLOCK_REPLY_LENGTH = 8192

Nonce = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{22,64}\Z")]


class ClockRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """What an agent sends: a nonce of at least 128 random bits, base64url."""

    nonce: Nonce


class ClockReply(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``issuer_time0`` is nanoseconds on the clock that ``clock_id`` names."""

    iss: str
    nonce: Nonce
    clock_id: ClockId
    issuer_time0: Nanoseconds
    utc: Milliseconds
    heartbeat: Annotated[str, Meta(max_length=MAX_HEARTBEAT_LENGTH)] | None


def sign(reply: ClockReply, signer: Signer) -> str:
    """The reply's text."""
    return jws.sign_compact(to_builtins(reply), signer, CLOCK_REPLY_TYP)


def verify(text: str, ledger_keys: dict[str, PublicKey]) -> ClockReply:
    """Check and read a reply.

    Raises:
        LedgerRejected: ``clock_signature`` or ``clock_malformed``.
    """
    try:
        verified = jws.verify_compact(
            text, ledger_keys, typ=CLOCK_REPLY_TYP, max_length=MAX_CLOCK_REPLY_LENGTH
        )
    except JwsRejected:
        raise LedgerRejected("clock_signature") from None
    try:
        return convert(strict_json.loads_object(verified.payload), ClockReply)
    except (EncodingRejected, ValidationError):
        raise LedgerRejected("clock_malformed") from None
