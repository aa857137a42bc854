"""The ledger's stream, with JetStream's real semantics where they can hurt.

One linearizable fence (``expected_seq``), message ids that answer ``duplicate`` (checked after the
fence by one server, before it by a cluster), heartbeats that expire, and a last sequence that
survives expiry and restore. What a caller hears of it is the network's business.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tests.simulator.clock import SECOND
from tocsin_issuer.core.sequencer import Append


@dataclass(frozen=True, slots=True)
class Message:
    """One stored message. ``expires`` is a true time, None for records."""

    seq: int
    subject: str
    text: str
    expires: int | None

    @property
    def is_record(self) -> bool:
        """Whether it is a member of the chain."""
        return self.expires is None


@dataclass(frozen=True, slots=True)
class Ack:
    """A PubAck."""

    seq: int
    duplicate: bool


@dataclass(frozen=True, slots=True)
class FenceError:
    """Error 10071: wrong last sequence."""


@dataclass(frozen=True, slots=True)
class Found:
    """What stands at a sequence, and where the stream ends."""

    text: str | None
    last_seq: int


@dataclass(frozen=True, slots=True)
class Batch:
    """The messages from some sequence on, and the last sequence they were read at."""

    messages: tuple[Message, ...]
    last_seq: int


class Stream:
    """See the module."""

    fenced = True

    def __init__(self, rng: Random, *, dedupe_first: bool, ghost_ack: float) -> None:
        self.last_seq = 0
        self.messages: dict[int, Message] = {}
        self.on_commit: list[Callable[[Message, int], None]] = []
        self._ids: dict[str, int] = {}
        self._ghosts: dict[str, int] = {}
        self._rng = rng
        self._dedupe_first = dedupe_first
        self.ghost_ack = ghost_ack

    def publish(self, append: Append, now: int) -> Ack | FenceError | None:
        """Store it, or say why not. None: it is lost, and its id may be remembered all the same."""
        self._expire(now)
        if self._dedupe_first:
            if append.message_id in self._ids:
                return Ack(self._ids[append.message_id], duplicate=True)
            if self._ghosts.get(append.message_id, 0) > now:
                return Ack(0, duplicate=True)
            if self._rng.random() < self.ghost_ack:
                self._ghosts[append.message_id] = now + SECOND // 2
                return None
        if self.fenced and append.expected_seq != self.last_seq:
            return FenceError()
        if append.message_id in self._ids:
            return Ack(self._ids[append.message_id], duplicate=True)
        self.last_seq += 1
        expires = None if append.ttl_s is None else now + append.ttl_s * SECOND
        message = Message(self.last_seq, append.subject, append.text, expires)
        self.messages[self.last_seq] = message
        self._ids[append.message_id] = self.last_seq
        for listener in self.on_commit:
            listener(message, now)
        return Ack(self.last_seq, duplicate=False)

    def publish_surely(self, append: Append, now: int) -> None:
        """The first record, before there are any faults."""
        ghost_ack, self.ghost_ack = self.ghost_ack, 0.0
        self.publish(append, now)
        self.ghost_ack = ghost_ack

    def read(self, seq: int, now: int, lag: int = 0) -> Found:
        """One message. ``lag``: a follower answers that has not seen the last so many."""
        self._expire(now)
        end = max(0, self.last_seq - lag)
        message = self.messages.get(seq) if seq <= end else None
        return Found(None if message is None else message.text, end)

    def fetch(self, after: int, now: int, lag: int = 0) -> Batch:
        """All messages after a sequence, in order."""
        self._expire(now)
        end = max(0, self.last_seq - lag)
        chosen = (message for seq, message in self.messages.items() if after < seq <= end)
        return Batch(tuple(chosen), end)

    def restore(self, lost: int, now: int) -> tuple[Message, ...]:
        """Go back to an older copy. The operator's rule: no sequence ever acknowledged comes back.

        Returns what is lost. The id of a lost message may be remembered for a while.
        """
        gone = tuple(self.messages.values())[len(self.messages) - lost :]
        for message in gone:
            del self.messages[message.seq]
        seqs = {message.seq for message in gone}
        for name in [name for name, seq in self._ids.items() if seq in seqs]:
            del self._ids[name]
            if self._rng.random() < 0.5:
                self._ghosts[name] = now + SECOND // 2
        self.last_seq += 1
        return gone

    def _expire(self, now: int) -> None:
        ended = [
            seq
            for seq, message in self.messages.items()
            if message.expires is not None and message.expires <= now
        ]
        for seq in ended:
            del self.messages[seq]
