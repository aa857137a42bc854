"""A term on its way into the ledger: what it replaces in the journal, and what it leaves."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import pytest
from redis.asyncio import Redis

from tests.issuer.store.helpers import events_in
from tests.support.clock import LEASE_NOW, NOW
from tests.support.keys import signer
from tests.support.ledger import LEDGER_KEY, ROOT, Ledger, revoke_token
from tests.support.tokens import ISSUER
from tocsin_issuer.core.sequencer import Sequencer
from tocsin_issuer.keys import term_draft
from tocsin_issuer.keys.root_signatures import to_text
from tocsin_issuer.sequencing.appender import SteppedDown
from tocsin_issuer.sequencing.opening import Opening
from tocsin_issuer.store.journal import Journal
from tocsin_issuer.store.outbox import Outbox
from tocsin_revocation_bus.core.record_checks import MAX_AHEAD_S, opens_term
from tocsin_revocation_bus.core.replica import Replica
from tocsin_schemas import record, term
from tocsin_schemas.errors import ConfigurationError, LedgerRejected
from tocsin_schemas.events import TokensRevoked
from tocsin_schemas.signed_document import SignedDocument

STRANGER = signer("Ed25519", "stranger")
ELSEWHERE = "h" * 43


@dataclass
class Candidate:
    """A ledger of two records, and what its operator leaves with the candidate."""

    ledger: Ledger
    replica: Replica
    journal: Journal
    kept: bytes | ConfigurationError | None = None

    def __post_init__(self) -> None:
        self.opening = Opening(
            sequencer=Sequencer(ISSUER, LEDGER_KEY, self.replica, "clock-of-a-test"),
            replica=self.replica,
            journal=self.journal,
            kept=self._kept,
            event_id=lambda: "ev_opened",
            wall_clock=lambda: NOW,
        )

    def _kept(self) -> bytes | None:
        if isinstance(self.kept, ConfigurationError):
            raise self.kept
        return self.kept

    def statement(self, by: object = ROOT) -> SignedDocument:
        return term.sign(term_draft.on_head(self.replica).statement, [by])  # type: ignore[list-item]

    async def has_journaled(self, *texts: str, ids: tuple[str, ...] = ()) -> None:
        for text in texts:
            await self.journal.append(await self.journal.newest() + 1, text, ids)

    async def opened(self) -> bool:
        """Whether the record after the head opens a term, and is the journal's last."""
        texts = [entry.text for entry in await self.journal.after(2)]
        return len(texts) == 1 and opens_term(record.parse_unverified(texts[0]))


@pytest.fixture
async def candidate(redis: Redis) -> Candidate:
    ledger = Ledger()
    ledger.append(revoke_token("a"))
    candidate = Candidate(ledger, ledger.replica(), Journal(redis))
    await candidate.has_journaled(*ledger.texts)
    return candidate


async def test_it_is_journaled_for_a_halted_replica(candidate: Candidate, outbox: Outbox) -> None:
    """What was journaled and not settled waits as it did; what was settled does so again."""
    ledger, replica = candidate.ledger, candidate.replica
    waiting = await outbox.add([revoke_token("waiting")])
    await candidate.has_journaled(ledger.append(revoke_token("waiting")), ids=(waiting,))
    await candidate.has_journaled(ledger.append(revoke_token("settled")), ids=("1-1",))
    poison = ledger.draft(revoke_token("x"), n=3, prev=ELSEWHERE)
    replica.apply_record(poison, LEASE_NOW, NOW)
    assert replica.halted is not None
    candidate.kept = to_text(candidate.statement()).encode()
    statement = candidate.opening.waiting()
    assert statement is not None
    await candidate.opening.journal(statement)
    assert await candidate.opened()
    left = [one for one in await events_in(outbox) if isinstance(one, TokensRevoked)]
    assert [one.tokens[0].jti for one in left] == ["waiting", "settled"]

    await candidate.opening.journal(statement)  # again, after a crash
    assert await candidate.opened()
    assert await outbox.length() == 2


async def test_a_record_that_can_come_next_stays(candidate: Candidate) -> None:
    """Another candidate may have sent it off: in the journal it must not be another one."""
    text = candidate.ledger.append(revoke_token("on its way"))
    statement = candidate.statement()
    await candidate.has_journaled(text)
    await candidate.opening.journal(statement)
    assert [entry.text for entry in await candidate.journal.after(2)] == [text]


async def test_a_record_that_our_clock_does_not_let_in_stays(candidate: Candidate) -> None:
    text = candidate.ledger.append(revoke_token("on its way"), iat=NOW + MAX_AHEAD_S + 1)
    await candidate.has_journaled(text)
    with pytest.raises(LedgerRejected, match="ahead of this machine's clock"):
        await candidate.opening.journal(candidate.statement())
    assert [entry.text for entry in await candidate.journal.after(2)] == [text]


async def test_somebody_else_journals_meanwhile(
    candidate: Candidate, monkeypatch: pytest.MonkeyPatch
) -> None:
    reopen = candidate.journal.reopen

    async def late(*arguments: object) -> bool:
        await candidate.has_journaled(candidate.ledger.append(revoke_token("theirs")))
        return await reopen(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(candidate.journal, "reopen", late)
    with pytest.raises(SteppedDown):
        await candidate.opening.journal(candidate.statement())
    assert not await candidate.opened()


@pytest.mark.parametrize(
    ("kept", "code"),
    [
        (b"{}", "document_malformed"),
        (b"\xff", "document_malformed"),
        (ConfigurationError("file_unreadable"), "file_unreadable"),
        (None, "root_mismatch"),
    ],
)
def test_what_is_refused_is_said_once(
    candidate: Candidate,
    kept: bytes | ConfigurationError | None,
    code: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    candidate.kept = kept or to_text(candidate.statement(STRANGER)).encode()
    with caplog.at_level(logging.ERROR, logger="tocsin.sequencer"):
        assert [candidate.opening.waiting() for _ in range(3)] == [None, None, None]
    assert [one.getMessage().rsplit(": ", 1)[1] for one in caplog.records] == [code]


def test_what_is_on_another_base_waits(
    candidate: Candidate, caplog: pytest.LogCaptureFixture
) -> None:
    """A replica that starts has not come to it yet; one that has gone on never will."""
    candidate.kept = to_text(candidate.statement()).encode()
    assert candidate.opening.waiting() is not None
    text = candidate.ledger.append(revoke_token("b"))
    candidate.replica.apply_record(text, LEASE_NOW, NOW)
    assert candidate.opening.waiting() is None
    assert not caplog.records
