"""Many threads verify while one writes: once a fold has returned, what it revoked is dead."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

from tests.support.agent import Agent
from tests.support.clock import LEASE_NOW, NOW
from tests.support.ledger import (
    HOUR,
    revoke_client,
    revoke_session,
    revoke_subject,
    revoke_token,
)
from tocsin_revocation_bus.core.replica import Outcome
from tocsin_schemas.errors import AgentStale, TokenRejected
from tocsin_verifier_agent.core.token_cache import TokenCache

READERS = 4
TOKENS = 60


@pytest.fixture
def switching() -> Iterator[None]:
    """Threads take turns a thousand times as often as usual."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("switching")
def test_nothing_is_accepted_once_its_revocation_was_folded() -> None:
    """The cache is smaller than the set of tokens, so that hits, misses and evictions mix, and each
    rule ends in an hour of its own, so that buckets come and go under the readers.
    """
    agent = Agent(cache=TokenCache(threading.Lock(), max_entries=TOKENS // 2))
    texts = [
        agent.mint(sub=f"sub-{n}", sid=f"sid-{n}", client_id=f"client-{n}") for n in range(TOKENS)
    ]
    claims = [agent.verify(text).claims for text in texts]
    rules = []
    for number, one in enumerate(claims):
        until = NOW + (2 + number) * HOUR
        rules.append(
            (
                revoke_token(one["jti"], until=until),
                revoke_session(one["sid"], until=until),
                revoke_subject(one["sub"], NOW + 1, until),
                revoke_client(one["client_id"], NOW + 1, until),
            )[number % 4]
        )
    records = [agent.ledger.append(rule) for rule in rules]

    folded = 0  # how many of the tokens are dead for certain, in order
    done = threading.Event()
    wrong: list[str] = []
    verdicts = 0

    def read(start: int) -> None:
        nonlocal verdicts
        number = start
        try:
            while not done.is_set():
                number = (number + 7) % TOKENS
                dead = number < folded
                try:
                    agent.verifier.verify(texts[number])
                except TokenRejected:
                    accepted = False
                else:
                    accepted = True
                if accepted and dead:
                    wrong.append(f"token {number} was accepted after its revocation")
                verdicts += 1
        except BaseException as error:
            wrong.append(repr(error))

    readers = [threading.Thread(target=read, args=(start,)) for start in range(READERS)]
    for reader in readers:
        reader.start()
    for text in records:
        assert agent.replica.apply_record(text, LEASE_NOW, NOW) is Outcome.APPLIED
        folded += 1
        threading.Event().wait(0.004)
    done.set()
    for reader in readers:
        reader.join()

    assert not wrong
    assert verdicts > TOKENS
    assert [agent.code(text) for text in texts].count("accepted") == 0
    assert len(agent.cache) <= TOKENS // 2


@pytest.mark.usefixtures("switching")
def test_rules_that_end_and_begin_under_the_readers_disturb_nobody() -> None:
    """G moves on by an hour with every record; an old hour goes as a new one comes."""
    agent = Agent()
    kept = agent.mint(sub="kept", exp=NOW + 3000)
    revoked = agent.mint(sub="revoked", exp=NOW + 3000)
    far = NOW + 1000 * HOUR
    agent.fold(revoke_subject("revoked", NOW + 1, far))
    done = threading.Event()
    wrong: list[str] = []

    def read() -> None:
        try:
            while not done.is_set():
                for text, expected in ((kept, "accepted"), (revoked, "subject_revoked")):
                    agent.cache.discard(text)
                    code = agent.code(text)
                    if code != expected:
                        wrong.append(code)
        except BaseException as error:
            wrong.append(repr(error))

    readers = [threading.Thread(target=read) for _ in range(READERS)]
    for reader in readers:
        reader.start()
    state = agent.replica.state
    for number in range(400):
        hour = NOW // HOUR - 2000 + number
        name = f"other-{number}" if number % 16 < 8 else None
        for rules in (state._subjects, state._clients, state._everything):
            rules.add(bytes([number % 256]) * 16, 1, hour * HOUR, name)
            rules.drop_before(hour - 3)
        for digests in (state._foreign, state._sessions):
            digests.add(bytes([number % 256]) * 16, hour * HOUR, name)
            digests.drop_before(hour - 3)
        state.generation += 1
    done.set()
    for reader in readers:
        reader.join()
    assert not wrong


@pytest.mark.usefixtures("switching")
def test_the_cache_keeps_its_count_under_many_writers() -> None:
    agent = Agent(cache=TokenCache(threading.Lock(), max_entries=10, max_bytes=40_000))
    texts = [agent.mint() for _ in range(40)]
    wrong: list[str] = []

    def hammer(start: int) -> None:
        try:
            for step in range(150):
                text = texts[(start * 11 + step * 7) % len(texts)]
                if step % 5 == 0:
                    agent.cache.discard(text)
                else:
                    agent.verifier.verify(text)
        except (TokenRejected, AgentStale, RuntimeError, KeyError) as error:
            wrong.append(repr(error))

    writers = [threading.Thread(target=hammer, args=(start,)) for start in range(READERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert not wrong
    cache = agent.cache
    assert len(cache) <= 10
    assert cache._bytes == sum(entry.size for entry in cache._entries.values()) <= 40_000
