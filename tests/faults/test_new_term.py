"""The last resort: no agent can go on along the ledger, and the roots open a term."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from tests.faults.opened_term import (
    append,
    assembled,
    does,
    keys_of,
    ledger_key,
    next_record,
    open_term,
    read,
    refused,
)
from tests.faults.stack import ISSUER, PATIENCE_S, POLICY, Stack, comes_to, running_stack, verdict
from tocsin_issuer.keys import root_file
from tocsin_issuer.keys.ceremony import TERM_NAME
from tocsin_issuer.keys.root_signatures import to_text
from tocsin_issuer.keys.signer import generate
from tocsin_issuer.store import names
from tocsin_issuer.store.connection import connect as connect_redis
from tocsin_issuer.store.journal import Journal
from tocsin_revocation_bus.clocks import lease_clock
from tocsin_revocation_bus.core.replica import AgentState
from tocsin_revocation_bus.tasks import end
from tocsin_schemas import base64url, heartbeat, jws, record, term
from tocsin_schemas.errors import AgentStale
from tocsin_schemas.events import RevokedSession, SessionsRevoked, TermOpened
from tocsin_schemas.heartbeat import Heartbeat
from tocsin_schemas.subjects import EDGE_HEARTBEAT
from tocsin_verifier_agent import VerifierAgent

_OPENED = {"status": "opened"}
ELSEWHERE = "A" * 43
NOTHING: Mapping[str, object] = {}


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Stack]:
    """Three roots, two of which must sign."""
    async with running_stack(tmp_path, roots=3, threshold=2) as stack:
        yield stack


def ended(sid: str) -> SessionsRevoked:
    rule = RevokedSession(sid, int(time.time()) + 3600)
    return SessionsRevoked(id=f"ev_{sid}", reason="logout", initiator="user", sessions=(rule,))


async def says(agent: VerifierAgent, reason: str) -> None:
    """Wait until the agent gives this reason."""
    deadline = time.monotonic() + PATIENCE_S
    while agent.status().reason != reason:
        assert time.monotonic() < deadline, agent.status()
        await asyncio.sleep(0.02)


async def times_revoked(stack: Stack, terms: int = 2) -> Counter[str]:
    """How often the ledger revokes each session; each event stands there once."""
    async with stack.bus() as client:
        replica, records = await read(client, stack)
    assert replica.halted is None
    events = [event for one in records for event in one.record.events]
    assert max(Counter(event.id for event in events).values()) == 1
    assert sum(isinstance(event, TermOpened) for event in events) == terms - 1
    assert [one.record.n for one in records] == list(range(1, len(records) + 1))
    revoked = [event for event in events if isinstance(event, SessionsRevoked)]
    return Counter(one.sid for event in revoked for one in event.sessions)


async def poison(stack: Stack) -> None:
    """A record that the ledger key has signed, and that follows nothing."""
    async with stack.bus() as client:
        replica, _ = await read(client, stack)
        await append(client, next_record(stack, replica, ended("nobody"), prev=ELSEWHERE))


async def test_a_record_that_nobody_can_apply(guarded: Stack) -> None:
    """Agents and sequencers stop, and go on in the new term without a restart."""
    stack = guarded
    first, other = await stack.issuer("a"), await stack.issuer("b")
    async with stack.agent() as agent:
        before, before_sid = stack.token()
        assert (await stack.log_out(first, before)).status == 200
        await comes_to(agent, before, "session_revoked")
        await poison(stack)
        await says(agent, "chain_broken")
        meanwhile, meanwhile_sid = stack.token()
        assert (await stack.log_out(first, meanwhile)).status == 202
        with pytest.raises(AgentStale):
            agent.verify(before)

        signed = await assembled(stack, roots=2)
        said = await does(stack, "publish", str(signed), "--dir", "issuer-b")
        assert json.loads(said) == _OPENED
        await comes_to(agent, before, "session_revoked")
        await comes_to(agent, meanwhile, "session_revoked")
        assert agent.status().state is AgentState.LIVE
        assert await verdict(agent, stack.token()[0]) == "accepted"
        later, later_sid = stack.token()
        assert (await stack.log_out(first, later)).status == 200
        await comes_to(agent, later, "session_revoked")

        other.kill()  # whoever of them appends, the other one follows
        last, last_sid = stack.token()
        assert (await stack.log_out(first, last)).accepted
        await comes_to(agent, last, "session_revoked")
        revoked = await times_revoked(stack)
        assert revoked == dict.fromkeys((before_sid, meanwhile_sid, later_sid, last_sid), 1)
        async with stack.agent() as newcomer:  # past the poison
            for token in (before, meanwhile, later, last):
                assert await verdict(newcomer, token) == "session_revoked"
            assert await verdict(newcomer, stack.token()[0]) == "accepted"


def statement(
    stack: Stack, file: Path, changes: Mapping[str, object] = NOTHING, roots: int = 2
) -> str:
    """A draft's statement, changed and then signed by that many roots, in a file."""
    members = json.loads(file.read_text())["statement"] | dict(changes)
    store = keys_of(stack, "roots")
    signers = [store.load(kid) for kid in store.kids()[:roots]]
    document = term.sign(term.TermStatement(**members), [*signers])
    (stack.folder / "changed.json").write_text(to_text(document))
    return "changed.json"


async def test_what_is_refused_changes_nothing(guarded: Stack) -> None:
    stack = guarded
    issuer = await stack.issuer()
    assert (await stack.log_out(issuer, stack.token()[0])).status == 200
    assert await refused(stack, "prepare", "--at", "3") == "base_unknown"
    assert await refused(stack, "prepare", "--at", "1") == "base_superseded"
    await does(stack, "prepare", "--at", "2", "--out", "draft.json")
    (stack.folder / "root").write_text(root_file.seal(generate("Ed25519"), b"kekekekekekek", 1024))
    (stack.folder / "secret").write_text("kekekekekekek")
    (stack.folder / "secret").chmod(0o600)
    sign = ("sign", "draft.json", "--secret-file", "secret", "--yes")
    assert await refused(stack, *sign) == "root_unknown"
    draft = stack.folder / "draft.json"
    publish = ("publish", "--dir", "issuer-a")
    for changes, code in (
        ({"base_hash": ELSEWHERE}, "base_not_in_chain"),
        ({"term": 3}, "term_not_next"),
    ):
        assert await refused(stack, *publish, statement(stack, draft, changes)) == code
    with_one = statement(stack, draft, roots=1)
    assert await refused(stack, *publish, with_one) == "root_mismatch"
    assert not (stack.folder / "issuer-a" / TERM_NAME).exists()

    # What a command has not looked at, the sequencer refuses by itself, and goes on.
    shutil.copy(stack.folder / with_one, stack.folder / "issuer-a" / TERM_NAME)
    await asyncio.sleep(1)
    assert (await stack.log_out(issuer, stack.token()[0])).status == 200
    assert len(await stack.ledger()) == 3
    assert issuer.log.count("refused: root_mismatch") == 1
    late = ("publish", statement(stack, draft), "--dir", "issuer-a")
    assert await refused(stack, *late) == "base_superseded"

    # Where all is well it does no harm, whether the active one is asked for it or a standby.
    await stack.issuer("b")
    for name in ("issuer-a", "issuer-b"):
        said = await does(stack, "now", "--dir", name, "--yes")
        assert json.loads(said.splitlines()[-1]) == _OPENED
    last, last_sid = stack.token()
    assert (await stack.log_out(issuer, last)).accepted
    async with stack.agent() as agent:
        await comes_to(agent, last, "session_revoked")
    assert (await times_revoked(stack, terms=3))[last_sid] == 1


async def test_a_sequencer_that_goes_on_beyond_the_base(stack: Stack) -> None:
    """A thief's heartbeats, here: the roots can still say that they do not count."""
    issuer = await stack.issuer()
    await poison(stack)
    issuer.kill()
    async with stack.bus() as client:
        replica, _ = await read(client, stack)

        async def go_on() -> None:
            while True:
                assert replica.head is not None
                beat = Heartbeat(
                    iss=ISSUER,
                    term=1,
                    head_n=replica.head.n + 1,
                    head_hash=ELSEWHERE,
                    settled_n=0,
                    clock_id="c" * 16,
                    issuer_time=lease_clock(),
                    utc=int(time.time() * 1000),
                )
                await client.publish(
                    EDGE_HEARTBEAT, heartbeat.sign(beat, ledger_key(stack)).encode()
                )
                await asyncio.sleep(POLICY.heartbeat_ms / 1000)

        beating = asyncio.create_task(go_on())
        now = ("now", "--dir", "issuer-a", "--yes")
        assert await refused(stack, *now) == "sequencer_ahead"
        done = await open_term(stack, *now, "--force", "--wait", "0.1")
        assert (done.returncode, done.stdout.splitlines()[-1]) == (3, '{"status": "pending"}')
        await stack.issuer()
        async with stack.agent() as agent:
            assert await verdict(agent, stack.token()[0]) == "accepted"
        await end(beating)


async def test_the_sequencer_dies_with_the_new_term_journaled(stack: Stack) -> None:
    issuer = await stack.issuer()
    async with stack.agent() as agent:
        await poison(stack)
        await says(agent, "chain_broken")
        waiting, sid = stack.token()
        assert (await stack.log_out(issuer, waiting)).status == 202
        hold = issuer.nats.hold(b"PUB tocsin.ledger.term-opened ")
        done = await open_term(stack, "now", "--dir", "issuer-a", "--yes", "--wait", "0.1")
        assert done.returncode == 3, done.stderr
        async with asyncio.timeout(10):
            await hold.reached.wait()
        issuer.kill()
        await stack.issuer()
        await comes_to(agent, waiting, "session_revoked")
        assert (await times_revoked(stack))[sid] == 1


async def test_what_lay_behind_the_base_is_committed_again(stack: Stack) -> None:
    """A newer sequencer wrote what no agent here can read, and went on. What its journal holds of
    that is brought back; what only a newer version can read is not.
    """
    issuer = await stack.issuer()
    token, sid = stack.token()
    async with stack.agent() as agent:
        assert await verdict(agent, token) == "accepted"
        issuer.kill()
        redis = connect_redis(stack.valkey.url)
        async with stack.bus() as client:
            replica, records = await read(client, stack)
            unreadable = as_a_newer_version(stack, next_record(stack, replica, ended("nobody")))
            n, prev = len(records) + 2, record.hash_of(unreadable)
            after = next_record(stack, replica, ended(sid), n=n, prev=prev)
            journal = Journal(redis)
            for number, text in ((n - 1, unreadable), (n, after)):
                entry = await journal.append(number, text, [])
                await journal.settle(entry, 1, record.hash_of(text), await append(client, text))
        await redis.aclose()
        done = await open_term(stack, "now", "--dir", "issuer-a", "--yes", "--wait", "0.1")
        assert done.returncode == 3, done.stderr
        issuer = await stack.issuer()
        await comes_to(agent, token, "session_revoked")
        assert await times_revoked(stack) == {sid: 1}
        assert f"record {n - 1} carried is lost: event_unknown" in issuer.log
        last, _ = stack.token()
        assert (await stack.log_out(issuer, last)).status == 200
        await comes_to(agent, last, "session_revoked")


def as_a_newer_version(stack: Stack, text: str) -> str:
    """The record with a critical event that this version does not know."""
    payload = base64url.decode(text.split(".")[1])
    return jws.sign_bytes(
        payload.replace(b"sessions-revoked:1", b"sessions-revoked:2"),
        ledger_key(stack),
        record.RECORD_TYP,
    )


async def test_nats_went_back_further_than_the_journal_reaches(stack: Stack) -> None:
    """What only the lost records held is lost; agents that had it must be started anew."""
    issuer = await stack.issuer()
    store = stack.nats.data_dir.path / "jetstream"
    async with stack.agent() as agent:
        await comes_to(agent, stack.token()[0], "accepted")
        stack.nats.kill()
        shutil.copytree(store, stack.folder / "older")
        stack.nats.start()
        (lost, lost_sid), (kept, kept_sid) = stack.token(), stack.token()
        for token in (lost, kept):
            assert (await stack.log_out(issuer, token)).accepted
            await comes_to(agent, token, "session_revoked")
        for sid in (lost_sid, kept_sid):
            assert await stack.times_revoked(sid) == 1
        issuer.kill()
        stack.nats.kill()
        shutil.rmtree(store)
        shutil.copytree(stack.folder / "older", store)
        stack.nats.start()
        redis = connect_redis(stack.valkey.url)
        oldest = (await Journal(redis).after(0))[:2]
        await redis.xdel(names.JOURNAL, *(f"{entry.n}-0" for entry in oldest))
        await redis.aclose()

        done = await open_term(stack, "now", "--dir", "issuer-a", "--yes", "--wait", "0.1")
        assert done.returncode == 3, done.stderr
        issuer = await stack.issuer()
        assert await times_revoked(stack) == {kept_sid: 1}
        await says(agent, "term_base")  # it would have to forget a revocation
    async with stack.agent() as anew:
        await comes_to(anew, kept, "session_revoked")
        assert await verdict(anew, lost) == "accepted"
