"""Committing on a real NATS and a real Valkey: what is in flight, what waits, and what stays."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from redis.asyncio import Redis

from tests.support.ledger import (
    DAY,
    LEDGER_KEY,
    STANDBY_KEY,
    TOKEN_KEY,
    key_entry,
    pinned,
    publish,
    revoke_token,
    signed_keyset,
)
from tests.support.tokens import ISSUER
from tocsin_issuer.core.sequencer import Sequencer
from tocsin_issuer.embedded import EmbeddedNats
from tocsin_issuer.sequencing.appender import Appender, SteppedDown
from tocsin_issuer.sequencing.committing import Committing
from tocsin_issuer.sequencing.groups import GROUP_LENGTH
from tocsin_issuer.store import event_text, names
from tocsin_issuer.store.journal import Journal, JournalEntry
from tocsin_issuer.store.outbox import Outbox
from tocsin_revocation_bus.core.replica import Replica
from tocsin_revocation_bus.jetstream.connection import BusAddress, connect
from tocsin_revocation_bus.jetstream.direct_get import read_all
from tocsin_revocation_bus.jetstream.streams import declare_ledger
from tocsin_schemas import record
from tocsin_schemas.errors import LedgerRejected
from tocsin_schemas.events import KeysetPublished, TokensRevoked


def keyset(**changes: Any) -> KeysetPublished:
    """One of this moment: the sequencer reads the clock itself."""
    now = int(time.time())
    times = {
        "publish_at": now - DAY,
        "sign_from": now - DAY,
        "sign_until": now + DAY,
        "verify_until": now + DAY,
    }
    keys = (
        key_entry(LEDGER_KEY, "ledger", **times),
        key_entry(TOKEN_KEY, "token", **times),
        key_entry(STANDBY_KEY, "token", **times),
    )
    members = {"issued_at": now - DAY, "expires_at": now + DAY, "keys": keys, **changes}
    return publish(signed_keyset(**members))


class Candidate:
    """An active sequencer, before its first record."""

    def __init__(self, client: Client, redis: Redis, outbox: Outbox) -> None:
        self.client = client
        self.replica = Replica(ISSUER, pinned())
        self.sequencer = Sequencer(ISSUER, LEDGER_KEY, self.replica, "clock-of-a-test")
        assert self.sequencer.take_over(0, 0)
        self.committing = Committing(
            sequencer=self.sequencer,
            replica=self.replica,
            appender=Appender(self.sequencer, client),
            outbox=outbox,
            journal=Journal(redis),
        )

    async def begin(self) -> None:
        await self.committing.commit((), [keyset()])

    async def revoked(self) -> list[str]:
        """Every jti that the stream revokes, in order; the records must be one chain."""
        reader, jtis = Replica(ISSUER, pinned()), list[str]()
        async for message in read_all(self.client, 1):
            parsed = record.parse_unverified(message.text)
            reader.apply_record(message.text, 0, time.time())
            for event in parsed.events:
                if isinstance(event, TokensRevoked):
                    jtis += [token.jti for token in event.tokens]
        assert reader.head == self.replica.head
        return jtis


@pytest.fixture
async def candidate(tmp_path: Path, redis: Redis, outbox: Outbox) -> AsyncIterator[Candidate]:
    with EmbeddedNats(tmp_path) as nats:
        client = await connect(BusAddress((nats.url,), nats.core_credentials), name="test")
        try:
            await declare_ledger(client)
            yield Candidate(client, redis, outbox)
        finally:
            await client.close()


async def test_what_is_in_flight_arrives_before_the_sequencer_steps_down(
    candidate: Candidate,
) -> None:
    """Else its answer would be for nobody, or for the message of a later takeover."""
    text = candidate.sequencer.build([keyset()], "test", time.time())
    parsed = record.parse_unverified(text)
    entry = JournalEntry(1, text, ())
    in_flight = asyncio.create_task(candidate.committing.append(entry, parsed))
    await asyncio.sleep(0)  # it is sent, and not yet answered
    await candidate.committing.step_down()
    assert candidate.replica.head is not None
    assert candidate.replica.head.hash == parsed.hash
    assert not candidate.sequencer.active
    await in_flight


async def test_a_record_of_its_own_that_it_refuses_makes_the_sequencer_step_down(
    candidate: Candidate,
) -> None:
    """Its ledger key was revoked meanwhile, say: another candidate has to go on."""
    await candidate.begin()
    text = candidate.sequencer.build([revoke_token("a")], "test", time.time())
    candidate.replica.state.revoked_keys.add(LEDGER_KEY.kid)
    entry = JournalEntry(2, text, ())
    with pytest.raises(SteppedDown) as reason:
        await candidate.committing.append(entry, record.parse_unverified(text))
    assert reason.value.code == "own_record_refused"
    assert not candidate.sequencer.active


async def test_what_fills_many_records_is_committed_once_and_in_order(
    candidate: Candidate, outbox: Outbox
) -> None:
    await candidate.begin()
    size = len(event_text.encode([revoke_token("jti-0000")]))
    jtis = [f"jti-{number:04}" for number in range(4 * GROUP_LENGTH // size)]
    for jti in jtis:
        await outbox.add([revoke_token(jti)])
    while await candidate.committing.commit_waiting():
        pass
    assert await candidate.revoked() == jtis
    assert candidate.replica.head is not None
    assert 5 <= candidate.replica.head.n <= 6
    assert await outbox.length() == 0


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('[{"kind":"of-tomorrow","members":{}}]', "event_unknown"),
        ('[{"kind":"tokens-revoked","members":{"id":1}}]', "event_malformed"),
        ('[{"kind":"subject-revoked-before","members":{"id":1}}]', "event_malformed"),
        ("[1]", "event_malformed"),
    ],
)
async def test_an_entry_that_this_version_cannot_read_stays_and_nothing_passes_it(
    candidate: Candidate, redis: Redis, outbox: Outbox, text: str, code: str
) -> None:
    await candidate.begin()
    await outbox.add([revoke_token("before")])
    await redis.xadd(names.OUTBOX, {"events": text})
    await outbox.add([revoke_token("behind")])
    for _ in range(2):
        with pytest.raises(LedgerRejected) as rejected:
            while await candidate.committing.commit_waiting():
                pass
        assert rejected.value.code == code
    assert await candidate.revoked() in ([], ["before"])
    rows: Any = await redis.xrange(names.OUTBOX)
    texts = [fields["events"] for _, fields in rows]
    assert texts[-2] == text
    assert "behind" in texts[-1]
    assert await redis.xlen(names.REJECTED) == 0


async def test_what_another_ones_record_holds_is_not_committed_again_when_a_group_is_split(
    candidate: Candidate, redis: Redis, outbox: Outbox
) -> None:
    """It journaled two entries and died. Ours finds a third one, which nobody can read."""
    await candidate.begin()
    ids = [await outbox.add([revoke_token(jti)]) for jti in ("one", "two")]
    events = [event for entry in await outbox.read(10) for event in entry.events]
    theirs = candidate.sequencer.build(events, "theirs", time.time())
    await Journal(redis).append(2, theirs, ids)
    unreadable = '[{"kind":"tokens-revoked","members":{"id":1}}]'
    await redis.xadd(names.OUTBOX, {"events": unreadable})
    with pytest.raises(LedgerRejected, match="event_malformed"):
        while await candidate.committing.commit_waiting():
            pass
    assert await candidate.revoked() == ["one", "two"]
    assert await outbox.length() == 1


async def test_what_no_agent_would_accept_is_put_aside_and_the_rest_goes_on(
    candidate: Candidate, redis: Redis, outbox: Outbox
) -> None:
    await candidate.begin()
    await outbox.add([revoke_token("before")])
    await outbox.add([keyset(version=2, expires_at=int(time.time()) - 5)])
    await outbox.add([revoke_token("behind")])
    while await candidate.committing.commit_waiting():
        pass
    assert await candidate.revoked() == ["before", "behind"]
    assert await redis.xlen(names.REJECTED) == 1
