"""The internal listener with an exchange policy, and the services that call it."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.issuer.http.conftest import CONFIG, ISS, Issuer, OneKey
from tocsin_issuer.exchange import policy
from tocsin_issuer.http import IssuerContext, create_internal_app
from tocsin_issuer.minting import TokenMinter
from tocsin_issuer.revoking.live_counts import LiveCounts
from tocsin_issuer.revoking.revoker import Revoker
from tocsin_issuer.store import names
from tocsin_issuer.store.cutoffs import Cutoffs
from tocsin_issuer.store.register import BEYOND_S
from tocsin_issuer.store.revocations import Revocations
from tocsin_issuer.store.sessions import SessionStore
from tocsin_issuer.store.shown_token import issued_digest
from tocsin_issuer.store.throttle import Throttle
from tocsin_schemas import base64url, strict_json
from tocsin_schemas.errors import AgentStale
from tocsin_schemas.token_exchange import ACCESS_TOKEN_TYPE, GRANT_TYPE
from tocsin_verifier_agent.core.confirmation import NOT_USED, Certificate
from tocsin_verifier_agent.core.verified import Verified

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
POLICY = policy.parse(
    b"""
    [clients.orders-service]
    receives = ["orders"]

    [clients.orders-service.targets.inventory]
    scopes = ["inventory:read", "inventory:write"]
    resource = "https://inventory.internal/"

    [clients.orders-service.targets.audit]
    life_s = 600

    [clients.orders-service.targets.search]
    scopes = ["search:read"]
    pass_through = true

    [clients.inventory-service]
    receives = ["inventory"]

    [clients.inventory-service.targets.warehouse]
    scopes = ["inventory:read"]

    [clients.loop-service]
    receives = ["loop", "orders"]

    [clients.loop-service.targets.loop]
    """,
    "the test's policy",
)


class Services:
    """The internal listener with this policy, and the services that call it."""

    def __init__(self, issuer: Issuer) -> None:
        self.policy = POLICY
        self.stale = False
        self.secrets: dict[str, str] = {}
        self.issuer = issuer
        redis, outbox, life = issuer.redis, issuer.outbox, CONFIG.max_token_life_s
        keys = OneKey(outbox)
        self.sessions = SessionStore(
            redis, outbox, idle_s=3600, absolute_s=3600, max_token_life_s=life
        )
        self.minter = TokenMinter(keys, issuer.register, CONFIG)
        self.revocations = Revocations(redis, outbox, max_token_life_s=life)
        self.cutoffs = Cutoffs(redis, outbox, max_token_life_s=life, session_absolute_s=3600)
        self.context = IssuerContext(
            config=CONFIG,
            users=issuer.users,
            throttle=Throttle(redis, CONFIG),
            clients=issuer.clients,
            sessions=self.sessions,
            revocations=self.revocations,
            cutoffs=self.cutoffs,
            revoker=Revoker(self.revocations, self.cutoffs, lambda: 121),
            live_counts=LiveCounts(issuer.redis),
            minter=self.minter,
            outbox=outbox,
            audit_log=issuer.audit_log,
            keys=keys,
            verify_admin=self._verify,
            verify_any=self._verify,
            verify_own=lambda token, shown: issuer.of_any_audience.verify(token, certificate=shown),
            readiness=self._ready,
            bound_s=lambda: 121,
        )
        app = create_internal_app(self.context, lambda: self.policy)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ISS)

    def _verify(self, token: str, certificate: Certificate = NOT_USED) -> Verified:
        """Knows no rule at all: the replica of an issuer that has not applied anything yet."""
        if self.stale:
            raise AgentStale("lease_lapsed", retry_after=7)
        return self.issuer.of_any_audience.verify(token, certificate=certificate)

    async def _ready(self) -> bool:
        return True

    async def ask(self, token: str, service: str = "orders-service", **more: str) -> httpx.Response:
        form = {
            "grant_type": GRANT_TYPE,
            "subject_token": token,
            "subject_token_type": ACCESS_TOKEN_TYPE,
            **({"audience": "inventory"} if service == "orders-service" else {}),
            **more,
        }
        return await self.http.post(
            "/oauth/token",
            data={name: value for name, value in form.items() if value},
            auth=(service, self.secrets[service]),
        )

    async def trade(self, token: str, service: str = "orders-service", **more: str) -> str:
        answer = await self.ask(token, service, **more)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def claims(self, token: str) -> dict[str, Any]:
        return self.issuer.of_any_audience.verify(token).claims

    async def client_token(self, service: str, audience: str = "orders") -> str:
        return (await self.minter.mint(service, service, [audience])).token


@asynccontextmanager
async def open_services(issuer: Issuer) -> AsyncIterator[Services]:
    """With the services registered as clients."""
    services = Services(issuer)
    for name in ("orders-service", "inventory-service", "loop-service", "stranger"):
        services.secrets[name] = await issuer.clients.create(name, ["orders"])
    yield services
    await services.http.aclose()


async def enter(issuer: Issuer, token: str) -> None:
    """Put a token into the register, as if it had been issued with all that it says."""
    claims = strict_json.loads_object(base64url.decode(token.split(".")[1]))
    entry = f"\n{claims['client_id']}\n{claims['iat']}\n{issued_digest(claims)}"
    ends = max(claims["exp"], int(time.time())) + BEYOND_S
    await issuer.redis.set(names.REGISTER + claims["jti"], entry, exat=ends)


async def log_in(issuer: Issuer) -> dict[str, Any]:
    """What Alice logs in with; her token is for ``orders``."""
    await issuer.alice(("orders:read", "inventory:read", "billing:read"))
    return await issuer.login()


async def refused(answer: httpx.Response) -> tuple[int, str]:
    members = answer.json()
    assert "access_token" not in members
    return answer.status_code, members["error"]
