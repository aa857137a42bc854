"""The bus-facing side of one sequencer candidate: the broker, and telling agents the time.

An agent that has no answer has no lease; so the answer needs NATS and the ledger key, no Redis.
"""

from collections.abc import Callable

from faststream.nats import NatsBroker, NatsMessage
from faststream.nats.security import NatsNKey
from msgspec import ValidationError, convert
from nats.errors import Error as NatsError

from tocsin_issuer.core.sequencer import Sequencer
from tocsin_revocation_bus.clocks import lease_clock, wall_clock
from tocsin_revocation_bus.jetstream.connection import (
    CONNECT_TIMEOUT_S,
    PING_INTERVAL_S,
    BusAddress,
)
from tocsin_schemas import clock_reply, strict_json
from tocsin_schemas.clock_reply import ClockReply, ClockRequest
from tocsin_schemas.errors import EncodingRejected
from tocsin_schemas.jws import Signer
from tocsin_schemas.subjects import CLOCK_SYNC

MAX_REQUEST_BYTES = 256
CLOCK_SYNC_TITLE = "clock sync"


def create_broker(address: BusAddress) -> NatsBroker:
    """A broker that logs no input: messages can hold tokens."""
    return NatsBroker(
        list(address.servers),
        security=None if address.credentials is None else NatsNKey.from_file(address.credentials),
        name="tocsin issuer bus",
        connect_timeout=CONNECT_TIMEOUT_S,
        reconnect_time_wait=1,
        max_reconnect_attempts=-1,
        ping_interval=PING_INTERVAL_S,
        max_outstanding_pings=2,
        logger=None,
    )


def add_clock_sync(
    broker: NatsBroker,
    *,
    issuer: str,
    clock_id: str,
    signer: Signer,
    newest_heartbeat: Callable[[], str | None],
) -> None:
    """Answer clock requests. ``newest_heartbeat`` is the newest committed one, as it was signed."""

    async def undecoded(message: NatsMessage) -> bytes:
        return bytes(message.body)

    @broker.subscriber(CLOCK_SYNC, decoder=undecoded, title=CLOCK_SYNC_TITLE)
    async def clock_sync(body: bytes) -> str:
        """Answer an agent's nonce with this candidate's time, signed."""
        if len(body) > MAX_REQUEST_BYTES:
            return "too_large"
        try:
            request = convert(strict_json.loads_object(body), ClockRequest)
        except (EncodingRejected, ValidationError):
            return "malformed"
        reply = ClockReply(
            iss=issuer,
            nonce=request.nonce,
            clock_id=clock_id,
            issuer_time0=lease_clock(),
            utc=int(wall_clock() * 1000),
            heartbeat=newest_heartbeat(),
        )
        return clock_reply.sign(reply, signer)


async def stop(broker: NatsBroker) -> None:
    """Stop answering. A connection that is just being sought again cannot be drained: close it."""
    client = broker.connection
    try:
        await broker.stop()
    except NatsError:
        await client.close()


def heartbeat_of(sequencer: Sequencer) -> Callable[[], str | None]:
    """The newest heartbeat that this candidate has committed, if it is the active one."""
    return lambda: sequencer.last_heartbeat
