"""Both applications on a real store, and a hand that plays the sequencer."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from tests.issuer.conftest import CountingHasher
from tocsin_issuer.config import IssuerConfig
from tocsin_issuer.http import IssuerContext, create_internal_app, create_public_app
from tocsin_issuer.keys.signer import PrivateKeySigner, generate
from tocsin_issuer.minting import TokenMinter
from tocsin_issuer.revoking.live_counts import LiveCounts
from tocsin_issuer.revoking.revoker import Revoker
from tocsin_issuer.store.audit_log import AuditLog
from tocsin_issuer.store.clients import ClientStore
from tocsin_issuer.store.cutoffs import Cutoffs
from tocsin_issuer.store.event_text import new_event_id
from tocsin_issuer.store.journal import Journal
from tocsin_issuer.store.outbox import Emission, Outbox
from tocsin_issuer.store.passwords import Passwords
from tocsin_issuer.store.register import Register
from tocsin_issuer.store.revocations import Revocations
from tocsin_issuer.store.sessions import SessionStore
from tocsin_issuer.store.throttle import Throttle
from tocsin_issuer.store.users import UserStore
from tocsin_schemas.errors import AgentStale, RequestRejected
from tocsin_schemas.events import KeyRevoked
from tocsin_verifier_agent.core.authority import StaticAuthority
from tocsin_verifier_agent.core.confirmation import NOT_USED, Certificate
from tocsin_verifier_agent.core.token_verifier import TokenVerifier
from tocsin_verifier_agent.core.verified import Verified

ISS = "https://issuer.example"
CONFIG = IssuerConfig(
    iss=ISS,
    default_audiences=("orders",),
    commit_wait_s=0.35,
    bulk_max_bytes=1_500_000,
    bulk_stall_s=0.35,
)
PERMISSIONS = ("revocations:write", "keys:read", "keys:write")
SIGNER: PrivateKeySigner = generate("ES256")


class OneKey:
    """The token keys of an issuer that has one, and another one waiting."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def active(self) -> PrivateKeySigner:
        return SIGNER

    def jwks(self) -> dict[str, Any]:
        return {"keys": [{**SIGNER.public.jwk, "kid": SIGNER.kid, "alg": "ES256", "use": "sig"}]}

    def pems(self) -> str:
        return "-----BEGIN PUBLIC KEY-----\n…\n-----END PUBLIC KEY-----\n"

    def describe(self) -> dict[str, Any]:
        return {"keys": [{"kid": SIGNER.kid, "phase": "active"}]}

    async def rotate(self) -> str:
        return "n" * 43

    async def revoke(self, kid: str) -> Emission:
        if kid != SIGNER.kid:
            raise RequestRejected("unknown_key", "no such key", status=404)
        return await self._outbox.revoke_key(
            KeyRevoked(id=new_event_id(), reason="test", initiator="admin", kid=kid)
        )


class Issuer:
    """The two listeners as clients see them, and what stands behind them."""

    def __init__(self, redis: Redis, hasher: CountingHasher, config: IssuerConfig) -> None:
        self.redis = redis
        self.hasher = hasher
        self.config = config
        self.outbox = Outbox(redis)
        self.journal = Journal(redis)
        self.stale = False
        self.ready = True
        life = config.max_token_life_s
        self.users = UserStore(redis, Passwords(hasher))
        self.clients = ClientStore(redis)
        self.register = Register(redis, life)
        self.audit_log = AuditLog(redis, max_entries=1000)
        keys = OneKey(self.outbox)
        self.verifier = TokenVerifier(
            StaticAuthority({SIGNER.kid: SIGNER.public}, ISS, None, life),
            audiences={ISS: frozenset(("orders", "billing", ISS))},
            lease_clock=time.monotonic_ns,
            wall_clock=time.time,
        )
        self.of_operators = TokenVerifier(
            StaticAuthority({SIGNER.kid: SIGNER.public}, ISS, None, life),
            audiences={ISS: frozenset([ISS])},
            lease_clock=time.monotonic_ns,
            wall_clock=time.time,
        )
        self.of_any_audience = TokenVerifier(
            StaticAuthority({SIGNER.kid: SIGNER.public}, ISS, None, life),
            audiences={ISS: None},
            lease_clock=time.monotonic_ns,
            wall_clock=time.time,
        )
        revocations = Revocations(redis, self.outbox, max_token_life_s=life)
        cutoffs = Cutoffs(
            redis,
            self.outbox,
            max_token_life_s=life,
            session_absolute_s=config.session_absolute_s,
        )
        self.context = context = IssuerContext(
            config=config,
            users=self.users,
            throttle=Throttle(redis, config),
            clients=self.clients,
            sessions=SessionStore(
                redis,
                self.outbox,
                idle_s=config.session_idle_s,
                absolute_s=config.session_absolute_s,
                max_token_life_s=life,
            ),
            revocations=revocations,
            cutoffs=cutoffs,
            revoker=Revoker(revocations, cutoffs, lambda: 121),
            live_counts=LiveCounts(redis),
            minter=TokenMinter(keys, self.register, config),
            outbox=self.outbox,
            audit_log=self.audit_log,
            keys=keys,
            verify_admin=lambda token, shown: self._live(self.of_operators, token, shown),
            verify_any=lambda token: self._live(self.of_any_audience, token, NOT_USED),
            verify_own=lambda token, shown: self.of_any_audience.verify(token, certificate=shown),
            readiness=self._readiness,
            bound_s=lambda: 121,
        )
        self.public = _client(create_public_app(context))
        self.internal = _client(create_internal_app(context))

    def _live(self, verifier: TokenVerifier, token: str, certificate: Certificate) -> Verified:
        if self.stale:
            raise AgentStale("lease_lapsed", retry_after=7)
        return verifier.verify(token, certificate=certificate)

    async def _readiness(self) -> bool:
        return self.ready

    @asynccontextmanager
    async def sequencing(self) -> AsyncIterator[None]:
        """While this lasts, what is in the outbox gets into the ledger."""

        async def run() -> None:
            n = 0
            while True:
                self.outbox.wake.clear()
                entries = await self.outbox.read(100)
                if not entries:
                    await self.outbox.wake.wait()
                    continue
                n += 1
                ids = [entry.id for entry in entries]
                await self.journal.settle(await self.journal.append(n, "text", ids), 1, "h", n)
                self.outbox.mark_committed(ids)

        task = asyncio.create_task(run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def alice(self, perms: tuple[str, ...] = ()) -> str:
        """A user, with the password ``correct horse``; returns the sub."""
        return await self.users.create("alice", "correct horse", role="viewer", perms=perms)

    async def login(self, **more: Any) -> dict[str, Any]:
        """Log Alice in."""
        body = {"username": "alice", "password": "correct horse", **more}
        answer = await self.public.post("/v1/login", json=body)
        assert answer.status_code == 200, answer.text
        members: dict[str, Any] = answer.json()
        return members

    async def operator(self, *perms: str) -> dict[str, str]:
        """The header of somebody with these permissions."""
        await self.users.create("root", "correct horse", perms=perms or PERMISSIONS)
        tokens = await self.login(username="root", audience=ISS)
        return bearer(tokens["access_token"])

    async def refresh(self, token: str, **more: str) -> httpx.Response:
        """Use a refresh token."""
        form = {"grant_type": "refresh_token", "refresh_token": token, **more}
        return await self.public.post("/oauth/token", data=form)

    async def aclose(self) -> None:
        await self.audit_log.aclose()
        await self.public.aclose()
        await self.internal.aclose()


def _client(app: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=True)
    return httpx.AsyncClient(transport=transport, base_url="https://issuer.example")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def headers_of(answer: httpx.Response) -> dict[str, str]:
    """But for the request's id, which is never the same."""
    return {name: value for name, value in answer.headers.items() if name != "x-request-id"}


@pytest.fixture
async def issuer(redis: Redis, hasher: CountingHasher) -> AsyncIterator[Issuer]:
    issuer = Issuer(redis, hasher, CONFIG)
    yield issuer
    await issuer.aclose()


@pytest.fixture(autouse=True)
def everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """At the lowest level, so that a secret in any message would be seen."""
    caplog.set_level(logging.DEBUG)
