"""The stores, with the lifetimes of a small site."""

import pytest
from redis.asyncio import Redis

from tocsin_issuer.store.cutoffs import Cutoffs
from tocsin_issuer.store.outbox import Outbox
from tocsin_issuer.store.register import Register
from tocsin_issuer.store.revocations import Revocations
from tocsin_issuer.store.sessions import SessionStore

MAX_TOKEN_LIFE_S = 3600
IDLE_S = 1000
ABSOLUTE_S = 5000
BOUND_S = 121


@pytest.fixture
def register(redis: Redis) -> Register:
    return Register(redis, MAX_TOKEN_LIFE_S)


@pytest.fixture
def cutoffs(redis: Redis, outbox: Outbox) -> Cutoffs:
    return Cutoffs(redis, outbox, max_token_life_s=MAX_TOKEN_LIFE_S, session_absolute_s=ABSOLUTE_S)


@pytest.fixture
def sessions(redis: Redis, outbox: Outbox) -> SessionStore:
    return SessionStore(
        redis, outbox, idle_s=IDLE_S, absolute_s=ABSOLUTE_S, max_token_life_s=MAX_TOKEN_LIFE_S
    )


@pytest.fixture
def revocations(redis: Redis, outbox: Outbox) -> Revocations:
    return Revocations(redis, outbox, max_token_life_s=MAX_TOKEN_LIFE_S)
