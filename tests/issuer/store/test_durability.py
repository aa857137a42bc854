"""202 promises the outbox: what was acknowledged is there after kill -9."""

from pathlib import Path

from redis.asyncio import Redis

from tests.issuer.store.conftest import ABSOLUTE_S, BOUND_S, IDLE_S, MAX_TOKEN_LIFE_S
from tests.issuer.store.helpers import mint
from tocsin_issuer.embedded import EmbeddedValkey
from tocsin_issuer.store.connection import connect
from tocsin_issuer.store.journal import Checkpoint, Journal
from tocsin_issuer.store.outbox import Outbox
from tocsin_issuer.store.register import Register
from tocsin_issuer.store.revocations import Revocations
from tocsin_issuer.store.sessions import SessionStore


async def logged_out(redis: Redis, outbox: Outbox) -> tuple[str, str]:
    """Log in and out again; return the sid and the outbox entry."""
    sessions = SessionStore(
        redis, outbox, idle_s=IDLE_S, absolute_s=ABSOLUTE_S, max_token_life_s=MAX_TOKEN_LIFE_S
    )
    session = await sessions.create("alice", "app", ["orders"])
    await mint(Register(redis, MAX_TOKEN_LIFE_S), sid=session.sid)
    emission = await Revocations(redis, outbox, max_token_life_s=MAX_TOKEN_LIFE_S).revoke_sessions(
        [session.sid], "logout", "user", bound_s=BOUND_S
    )
    return session.sid, emission.entry_id


async def test_an_acknowledged_logout_survives_kill_9(tmp_path: Path) -> None:
    """The same client goes on afterwards, though the server has forgotten its scripts."""
    with EmbeddedValkey(tmp_path / "valkey") as server:
        redis = connect(server.url)
        try:
            outbox, journal = Outbox(redis), Journal(redis)
            first, second = await logged_out(redis, outbox), await logged_out(redis, outbox)
            await journal.settle(await journal.append(1, "text", [first[1]]), 1, "hash", 7)
            server.kill()
            server.restart()
            assert [entry.id for entry in await outbox.read(10)] == [second[1]]
            assert await journal.checkpoint() == Checkpoint(1, 1, "hash", 7)
            assert [entry.text for entry in await journal.after(0)] == ["text"]
            for sid, _ in (first, second):
                assert not await redis.exists(f"tocsin:session:{sid}")
            third = await logged_out(redis, outbox)
            assert [entry.id for entry in await outbox.read(10)] == [second[1], third[1]]
        finally:
            await redis.aclose()
