"""Revoking what a foreign issuer has issued: the scope is that issuer, the life the policy's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis

from tests.issuer.store.helpers import events_in, mint, only_event, server_time
from tests.support.ledger import LEDGER_KEY, ROOT, TOKEN_KEY, make_keyset
from tocsin_issuer.foreign.known_issuers import KnownIssuers
from tocsin_issuer.store import names
from tocsin_issuer.store.cutoffs import Cutoffs
from tocsin_issuer.store.outbox import Emission, Outbox
from tocsin_issuer.store.register import Register
from tocsin_issuer.store.revocations import Revocations
from tocsin_issuer.store.sessions import SessionStore
from tocsin_schemas.errors import RequestRejected
from tocsin_schemas.events import (
    AllRevokedBefore,
    ClientRevokedBefore,
    KeyRevoked,
    SessionsRevoked,
    SubjectRevokedBefore,
    TokensRevoked,
)
from tocsin_schemas.issuer_profile import KEYCLOAK, ForeignIssuer
from tocsin_schemas.keyset import Policy

ISS, OTHER = "https://idp.example", "https://idp.example/2"
OUR_LIFE_S, POLICY_LIFE_S, BOUND_S = 600, 5400, 121
KEYSET = make_keyset(
    policy=Policy(max_token_life_s=POLICY_LIFE_S),
    foreign_issuers=tuple(
        ForeignIssuer(iss=iss, jwks_uri=f"{iss}/keys", profile=KEYCLOAK) for iss in (ISS, OTHER)
    ),
)
KNOWN = KnownIssuers(lambda: KEYSET)
SID = 'their "sid"'


@pytest.fixture
def revocations(redis: Redis, outbox: Outbox) -> Revocations:
    return Revocations(redis, outbox, max_token_life_s=OUR_LIFE_S, foreign=KNOWN)


@pytest.fixture
def cutoffs(redis: Redis, outbox: Outbox) -> Cutoffs:
    return Cutoffs(
        redis, outbox, max_token_life_s=OUR_LIFE_S, session_absolute_s=5000, foreign=KNOWN
    )


async def test_a_token(redis: Redis, revocations: Revocations, outbox: Outbox) -> None:
    exp = await server_time(redis) + POLICY_LIFE_S
    await revocations.revoke_tokens([("their jti", exp)], "test", "admin", iss=ISS)
    (rule,) = (await only_event(outbox, TokensRevoked)).tokens
    assert (rule.jti, rule.iss, rule.until) == ("their jti", ISS, exp + 30)
    # The projection is by jti alone: a name of theirs there would deny a token of ours.
    assert await redis.keys(names.DENIED + "*") == []


async def test_a_tokens_rule_ends_by_the_policy(
    redis: Redis, revocations: Revocations, outbox: Outbox
) -> None:
    late = await server_time(redis) + POLICY_LIFE_S + 1000
    with pytest.raises(RequestRejected) as caught:
        await revocations.revoke_tokens([("jti", late)], "test", "admin", iss=ISS)
    assert caught.value.code == "exp_too_late"
    assert await events_in(outbox) == []


async def test_a_session(
    redis: Redis, revocations: Revocations, outbox: Outbox, register: Register
) -> None:
    sessions = SessionStore(
        redis, outbox, idle_s=1000, absolute_s=5000, max_token_life_s=OUR_LIFE_S
    )
    ours = await sessions.create("alice", "app", ["orders"])
    now = await server_time(redis)
    await revocations.revoke_sessions([ours.sid, SID], "test", "admin", bound_s=BOUND_S, iss=ISS)
    event = await only_event(outbox, SessionsRevoked)
    assert [(rule.sid, rule.iss) for rule in event.sessions] == [(ours.sid, ISS), (SID, ISS)]
    assert all(
        0 <= rule.until - (now + BOUND_S + POLICY_LIFE_S + 600) <= 2 for rule in event.sessions
    )
    assert await sessions.exists(ours.sid), "a session of theirs ended one of ours"


@pytest.fixture
def register(redis: Redis) -> Register:
    return Register(redis, OUR_LIFE_S)


async def test_a_subject_and_a_client(
    redis: Redis, cutoffs: Cutoffs, outbox: Outbox, register: Register
) -> None:
    """Theirs have our names; nothing of ours moves: no cutoff, no session, no iat."""
    sessions = SessionStore(
        redis, outbox, idle_s=1000, absolute_s=5000, max_token_life_s=OUR_LIFE_S
    )
    session = await sessions.create("alice", "app", ["orders"])
    await mint(register, sub="alice", client_id="app")
    now = await server_time(redis)
    await cutoffs.subject("alice", "test", "admin", iss=ISS)
    await cutoffs.client("app", "test", "admin", iss=ISS)
    subject, client = await events_in(outbox)
    assert isinstance(subject, SubjectRevokedBefore)
    assert isinstance(client, ClientRevokedBefore)
    assert (subject.sub, subject.iss) == ("alice", ISS)
    assert (client.client_id, client.iss) == ("app", ISS)
    for event in (subject, client):
        assert now < event.before <= now + 2
        assert event.until == event.before + POLICY_LIFE_S + 30
    for name in (names.CUTOFF_OF_SUBJECT + "alice", names.CUTOFF_OF_CLIENT + "app"):
        assert not await redis.exists(name)
    _, iat = await mint(register, sub="alice", client_id="app", sid=session.sid)
    assert iat <= await server_time(redis)


async def test_scopes_do_not_run_together(redis: Redis, cutoffs: Cutoffs) -> None:
    """Equal names: of two issuers, of a subject and a client, and of ours."""
    for iss in (ISS, OTHER):
        await cutoffs.subject("alice", "test", "admin", iss=iss)
        await cutoffs.client("alice", "test", "admin", iss=iss)
    theirs = {str(name) for name in await redis.keys("*cutoff*")}
    assert len(theirs) == 4
    assert not any(
        name.startswith((names.CUTOFF_OF_SUBJECT, names.CUTOFF_OF_CLIENT)) for name in theirs
    )
    await cutoffs.subject("alice", "test", "user")
    ours = {str(name) for name in await redis.keys("*cutoff*")} - theirs
    assert ours == {names.CUTOFF_OF_SUBJECT + "alice"}


async def test_everything_outlives_the_longest_foreign_token(
    cutoffs: Cutoffs, outbox: Outbox
) -> None:
    await cutoffs.everything("test", "admin")
    event = await only_event(outbox, AllRevokedBefore)
    assert event.until == event.before + POLICY_LIFE_S + 30


async def test_a_key(revocations: Revocations, outbox: Outbox) -> None:
    await revocations.revoke_foreign_key(ISS, "k" * 43, "key-compromise", "admin")
    assert (await only_event(outbox, KeyRevoked)).kid == "k" * 43


@pytest.mark.parametrize("key", [TOKEN_KEY, LEDGER_KEY, ROOT])
async def test_a_key_of_ours_is_no_foreign_one(
    revocations: Revocations, outbox: Outbox, key: object
) -> None:
    with pytest.raises(RequestRejected) as caught:
        await revocations.revoke_foreign_key(ISS, key.kid, "test", "admin")  # type: ignore[attr-defined]
    assert caught.value.code == "key_is_ours"
    assert await events_in(outbox) == []


Act = Callable[[Revocations, Cutoffs, str], Awaitable[Emission]]
ACTS: list[Act] = [
    lambda rules, _, iss: rules.revoke_tokens([("jti", 1000)], "test", "admin", iss=iss),
    lambda rules, _, iss: rules.revoke_sessions(["s"], "test", "admin", bound_s=1, iss=iss),
    lambda rules, _, iss: rules.revoke_foreign_key(iss, "k" * 43, "test", "admin"),
    lambda _, cutoffs, iss: cutoffs.subject("s", "test", "admin", iss=iss),
    lambda _, cutoffs, iss: cutoffs.client("c", "test", "admin", iss=iss),
]


@pytest.mark.parametrize("act", ACTS, ids=["token", "session", "key", "subject", "client"])
@pytest.mark.parametrize("iss", ["https://idp.example/", "https://IDP.example", KEYSET.iss])
async def test_a_mistyped_issuer_is_refused(
    redis: Redis, revocations: Revocations, cutoffs: Cutoffs, act: Act, iss: str
) -> None:
    with pytest.raises(RequestRejected) as caught:
        await act(revocations, cutoffs, iss)
    assert (caught.value.code, caught.value.status) == ("unknown_issuer", 404)
    assert await redis.keys("*") == []
