"""Puts back into Redis what the ledger says has been revoked."""

from typing import Final

from redis.asyncio import Redis

from tocsin_issuer.store import names, scripts
from tocsin_schemas.claims import EXP_LEEWAY_S
from tocsin_schemas.events import (
    AllRevokedBefore,
    ClientRevokedBefore,
    Event,
    KeyRevoked,
    SessionsRevoked,
    SubjectRevokedBefore,
    TokensRevoked,
)

_OURS: Final = None


class Restoration:
    """Each step may be made again. A foreign issuer's revocations left nothing in Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._cutoff = scripts.load(redis, "restore_cutoff")
        self._session_end = scripts.load(redis, "restore_session_end")

    async def revoke(self, event: Event) -> None:
        """Do what the event did when it was added to the outbox, its epochs excepted."""
        match event:
            case TokensRevoked():
                for token in event.tokens:
                    if token.iss is _OURS:
                        await self._redis.set(names.DENIED + token.jti, "1", exat=token.until)
            case SessionsRevoked():
                for session in event.sessions:
                    if session.iss is _OURS:
                        await self._session_end(
                            keys=[names.SESSION + session.sid, names.SESSION_TOKENS + session.sid],
                            args=[names.DENIED, EXP_LEEWAY_S],
                        )
            case SubjectRevokedBefore() if event.iss is _OURS:
                await self._put_cutoff(names.CUTOFF_OF_SUBJECT + event.sub, event)
            case ClientRevokedBefore() if event.iss is _OURS:
                await self._put_cutoff(names.CUTOFF_OF_CLIENT + event.client_id, event)
            case AllRevokedBefore():
                await self._put_cutoff(names.CUTOFF_OF_ALL, event)
            case KeyRevoked():
                await self._redis.sadd(names.REVOKED_KEYS, event.kid)
            case _:  # keysets are in the ledger alone
                pass

    async def _put_cutoff(
        self, key: str, event: SubjectRevokedBefore | ClientRevokedBefore | AllRevokedBefore
    ) -> None:
        await self._cutoff(keys=[key], args=[event.before, event.until])
