"""The client sends again whatever its connection broke under: it is one call all the same."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
from argon2 import PasswordHasher
from redis.asyncio import Redis

from tests.issuer.store.conftest import ABSOLUTE_S, BOUND_S, MAX_TOKEN_LIFE_S
from tests.issuer.store.helpers import mint, only_event
from tocsin_issuer.store import names
from tocsin_issuer.store.account_endings import AccountEndings
from tocsin_issuer.store.clients import ClientStore
from tocsin_issuer.store.cutoffs import Cutoffs
from tocsin_issuer.store.outbox import Outbox
from tocsin_issuer.store.passwords import Passwords
from tocsin_issuer.store.register import Register
from tocsin_issuer.store.revocations import Revocations
from tocsin_schemas.events import SubjectRevokedBefore

EVENT: Final = "ev_one"


class Stores:
    """Each call of theirs has the same id."""

    def __init__(self, redis: Redis, outbox: Outbox) -> None:
        life: dict[str, Any] = {"max_token_life_s": MAX_TOKEN_LIFE_S, "event_id": lambda: EVENT}
        self.outbox = outbox
        self.revocations = Revocations(redis, outbox, **life)
        self.cutoffs = Cutoffs(redis, outbox, session_absolute_s=ABSOLUTE_S, **life)
        hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        self.accounts = AccountEndings(
            redis, outbox, Passwords(hasher), session_absolute_s=ABSOLUTE_S, **life
        )


CALLS: Final[dict[str, Callable[[Stores], Awaitable[Any]]]] = {
    "sessions": lambda to: to.revocations.revoke_sessions(["s"], "x", "admin", bound_s=BOUND_S),
    "tokens": lambda to: to.revocations.revoke_tokens([("jti", 1)], "x", "admin"),
    "subject": lambda to: to.cutoffs.subject("alice", "x", "admin"),
    "everything": lambda to: to.cutoffs.everything("x", "admin"),
    "user": lambda to: to.accounts.delete_user("alice"),
    "client": lambda to: to.accounts.disable_client("app"),
}


@pytest.mark.parametrize("name", CALLS)
async def test_the_same_call_again_has_the_same_answer(
    redis: Redis, outbox: Outbox, name: str
) -> None:
    await ClientStore(redis).create("app", ["orders"])
    stores = Stores(redis, outbox)
    first = await CALLS[name](stores)
    assert await CALLS[name](stores) == first
    (entry,) = await outbox.read(10)
    assert entry.id == first.entry_id


async def test_a_cutoff_that_is_sent_again_spares_what_was_minted_in_between(
    redis: Redis, outbox: Outbox, register: Register
) -> None:
    stores = Stores(redis, outbox)
    await stores.cutoffs.subject("alice", "x", "user")
    before = await redis.get(names.CUTOFF_OF_SUBJECT + "alice")
    _, iat = await mint(register)
    await stores.cutoffs.subject("alice", "x", "user")
    assert await redis.get(names.CUTOFF_OF_SUBJECT + "alice") == before
    assert (await only_event(outbox, SubjectRevokedBefore)).before <= iat
