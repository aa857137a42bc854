"""Carries one message into the stream, through every doubt, or steps down."""

from __future__ import annotations

from nats.aio.client import Client

from tocsin_issuer.core.sequencer import (
    Append,
    Committed,
    Decision,
    NotActive,
    ReadBack,
    Sequencer,
    StepDown,
)
from tocsin_revocation_bus.clocks import lease_clock, wall_clock
from tocsin_revocation_bus.jetstream.backoff import Backoff
from tocsin_revocation_bus.jetstream.direct_get import ReadFailed, read_one
from tocsin_revocation_bus.jetstream.fenced_publish import PubAck, publish
from tocsin_revocation_bus.jetstream.streams import last_sequence
from tocsin_schemas.errors import ConfigurationError, TocsinError


class SteppedDown(TocsinError):
    """Somebody else appends now; the code says how that was noticed."""


class Appender:
    """The sequencer's decisions, carried out on a connection."""

    def __init__(self, sequencer: Sequencer, client: Client) -> None:
        self._sequencer = sequencer
        self._client = client

    async def append(self, append: Append) -> Committed:
        """Publish, and find out what became of it, for as long as that takes. Until then nobody
        may make the sequencer step down.

        Raises:
            SteppedDown: another candidate has taken over, or our own replica refuses what stands in
                the stream now.
        """
        decision: Decision = append
        backoff = Backoff()
        while True:
            match decision:
                case Committed():
                    self._apply(decision)
                    return decision
                case StepDown(reason):
                    raise SteppedDown(reason)
                case _:
                    decision = await self._next(decision, backoff)

    def _apply(self, committed: Committed) -> None:
        try:
            self._sequencer.apply_committed(committed.append, lease_clock(), wall_clock())
        except NotActive as refused:
            raise SteppedDown(refused.code) from None

    async def _next(self, decision: Append | ReadBack, backoff: Backoff) -> Decision:
        if isinstance(decision, Append):
            return await self._publish(decision)
        answer = await self._look(decision.seq)
        if answer is not None:
            return self._sequencer.on_read(*answer)
        await backoff.pause()
        return decision

    async def _publish(self, append: Append) -> Decision:
        result = await publish(
            self._client,
            append.subject,
            append.text,
            message_id=append.message_id,
            expected_seq=append.expected_seq,
            ttl_s=append.ttl_s,
        )
        if isinstance(result, PubAck):
            return self._sequencer.on_ack(result.seq, duplicate=result.duplicate)
        return self._sequencer.on_doubt()

    async def _look(self, seq: int) -> tuple[str | None, int] | None:
        """What stands at ``seq`` and where the stream ends, or None while NATS does not answer.

        The end is read first: a message that arrives in between is then seen as ours or not, and
        never as missing from a stream that has grown past it.
        """
        try:
            last_seq = await last_sequence(self._client)
            found = await read_one(self._client, seq)
        except (ReadFailed, ConfigurationError):
            return None
        return (None if found is None else found.text), last_seq
