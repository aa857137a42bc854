"""Publishing under the fence: at one place in the stream, or not at all."""

import json
from dataclasses import dataclass
from enum import Enum

from nats.aio.client import Client
from nats.errors import ConnectionClosedError, NoRespondersError, OutboundBufferLimitError
from nats.errors import TimeoutError as NatsTimeout

from tocsin_schemas.subjects import LEDGER_STREAM

ACK_TIMEOUT_S = 2.0


class Refusal(Enum):
    """Why there is no PubAck. Neither says that the message is not in the stream."""

    FENCE = "fence"
    DOUBT = "doubt"


@dataclass(frozen=True, slots=True)
class PubAck:
    """Stored at ``seq``, or, as a duplicate, somewhere."""

    seq: int
    duplicate: bool


_FENCE_ERRORS = {10071, 10164}


async def publish(
    client: Client,
    subject: str,
    text: str,
    *,
    message_id: str,
    expected_seq: int,
    ttl_s: int | None,
    timeout: float = ACK_TIMEOUT_S,
) -> PubAck | Refusal:
    """Publish ``text`` at ``expected_seq`` + 1; ``timeout`` in seconds.

    Not while disconnected: nats-py would keep the message and send it after the reconnect.
    """
    if not client.is_connected:
        return Refusal.DOUBT
    headers = {
        "Nats-Expected-Stream": LEDGER_STREAM,
        "Nats-Expected-Last-Sequence": str(expected_seq),
        "Nats-Msg-Id": message_id,
    }
    if ttl_s is not None:
        headers["Nats-TTL"] = f"{ttl_s}s"
    try:
        answer = await client.request(
            subject, text.encode("ascii"), timeout=timeout, headers=headers
        )
        ack = json.loads(answer.data)
    except (NatsTimeout, NoRespondersError, ConnectionClosedError, OutboundBufferLimitError):
        return Refusal.DOUBT
    except ValueError:
        return Refusal.DOUBT
    if "error" in ack:
        return Refusal.FENCE if ack["error"].get("err_code") in _FENCE_ERRORS else Refusal.DOUBT
    return PubAck(int(ack["seq"]), bool(ack.get("duplicate", False)))
