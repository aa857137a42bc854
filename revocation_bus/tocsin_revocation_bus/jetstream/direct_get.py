"""Reading the stream without a consumer, by direct get, one message or in batches.

Agents may create no consumer: they outlive their clients, a stream bears only so many, and their
delivery subject can be aimed at anything.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from tocsin_revocation_bus.jetstream.connection import PENDING_LIMITS
from tocsin_schemas.errors import TocsinError
from tocsin_schemas.subjects import DIRECT_GET, HEARTBEAT

BATCH = 2000
BATCH_BYTES = 16 * 2**20
TIMEOUT_S = 5.0
_LOOK_S = 0.25
_TURN = 16  # messages


class ReadFailed(TocsinError):
    """The stream could not be read now: ``read_timeout``, ``read_refused`` or ``disconnected``."""


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """A message of the stream. Its sequence is where it lies, never what it is."""

    seq: int
    subject: str
    text: str

    @property
    def is_heartbeat(self) -> bool:
        """Whether it is a heartbeat rather than a record."""
        return self.subject == HEARTBEAT


def _status(message: Msg) -> str | None:
    return None if message.headers is None else message.headers.get("Status")


def _read(message: Msg) -> StreamMessage:
    headers = message.headers or {}
    return StreamMessage(
        int(headers.get("Nats-Sequence", "0")),
        headers.get("Nats-Subject", ""),
        message.data.decode("ascii", "replace"),
    )


async def read_one(client: Client, seq: int) -> StreamMessage | None:
    """The message at ``seq``, or None where nothing stands.

    Raises:
        ReadFailed: the stream could not be read.
    """
    try:
        answer = await client.request(
            DIRECT_GET, json.dumps({"seq": seq}).encode(), timeout=TIMEOUT_S
        )
    except NatsError:
        raise ReadFailed("read_timeout") from None
    status = _status(answer)
    if status == "404":
        return None
    if status is not None:
        raise ReadFailed("read_refused")
    return _read(answer)


async def read_batch(client: Client, seq: int) -> AsyncIterator[StreamMessage]:
    """The messages from ``seq`` on, up to a batch's worth; nothing at the stream's end.

    Other tasks get their turn every few messages.

    Raises:
        ReadFailed: the stream could not be read to the end of the batch. What came before stands.
    """
    if not client.is_connected:
        raise ReadFailed("disconnected")
    arrived: list[Msg] = []
    more = asyncio.Event()

    async def collect(message: Msg) -> None:
        arrived.append(message)
        more.set()

    inbox = client.new_inbox()
    try:
        # A callback: waiting for each message by itself costs as much as checking a record.
        subscription = await client.subscribe(inbox, cb=collect, **PENDING_LIMITS)
    except NatsError:
        raise ReadFailed("disconnected") from None
    connection = client.stats["reconnects"]
    try:
        request = {"seq": seq, "batch": BATCH, "max_bytes": BATCH_BYTES, "next_by_subj": ">"}
        await client.publish(DIRECT_GET, json.dumps(request).encode(), reply=inbox)
        while True:
            await _wait(more, client, connection)
            more.clear()
            messages = arrived.copy()
            arrived.clear()
            for number, message in enumerate(messages, 1):
                match _status(message):
                    case None:
                        yield _read(message)
                    case "204" | "404":
                        return
                    case _:
                        raise ReadFailed("read_refused")
                if number % _TURN == 0:
                    await asyncio.sleep(0)
    except NatsError:
        raise ReadFailed("read_timeout") from None
    finally:
        with suppress(NatsError):
            await subscription.unsubscribe()


async def _wait(more: asyncio.Event, client: Client, connection: int) -> None:
    """Wait for an answer, which can only come over the connection that the request went out on."""
    waited_s = 0.0
    while waited_s < TIMEOUT_S:
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_S):
                await more.wait()
        if more.is_set():
            return
        if not client.is_connected or client.stats["reconnects"] != connection:
            raise ReadFailed("disconnected")
        waited_s += _LOOK_S
    raise ReadFailed("read_timeout")


async def read_all(client: Client, seq: int = 1) -> AsyncIterator[StreamMessage]:
    """Every message from ``seq`` to the stream's end as it is when the end is reached.

    Raises:
        ReadFailed: as :func:`read_batch`.
    """
    while True:
        last = None
        async for message in read_batch(client, seq):
            last = message.seq
            yield message
        if last is None:
            return
        seq = last + 1
