"""A whole stack on real servers, with a short lease."""

from __future__ import annotations

import time
import tomllib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from tests.support.ports import find_free
from tocsin_issuer.development import Development, DevelopmentOptions, FirstSecrets
from tocsin_issuer.embedded import EmbeddedNats
from tocsin_issuer.keys import ceremony
from tocsin_issuer.service import IssuerService
from tocsin_issuer.settings import ExternalServers, checked_config
from tocsin_schemas.keyset import Policy
from tocsin_verifier_agent import VerifierAgent

LEASE_S = 2.0
POLICY = Policy(lease_ms=2000, heartbeat_ms=200)


@dataclass
class Stack:
    """What a test may touch."""

    development: Development
    nats: EmbeddedNats
    folder: Path
    http: httpx.AsyncClient
    secrets: FirstSecrets

    def agent(self, name: str = "orders") -> VerifierAgent:
        return VerifierAgent.from_file(self.folder / f"{name}.tocsin")

    async def log_in(self) -> dict[str, str]:
        answer = await self.http.post(
            f"{self.development.public_url}/v1/login",
            json={"username": self.secrets.username, "password": self.secrets.password},
        )
        assert answer.status_code == 200, answer.text
        members: dict[str, str] = answer.json()
        return members

    async def post(self, path: str, token: str) -> httpx.Response:
        return await self.http.post(
            self.development.public_url + path, headers={"Authorization": f"Bearer {token}"}
        )

    async def operator_token(self) -> str:
        access = tomllib.loads(self.secrets.admin_file.read_text())
        answer = await self.http.post(
            f"{self.development.public_url}/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(access["client_id"], access["client_secret"]),
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    async def admin(
        self, method: str, path: str, body: dict[str, object] | None = None
    ) -> httpx.Response:
        return await self.http.request(
            method,
            self.development.internal_url + path,
            headers={"Authorization": f"Bearer {await self.operator_token()}"},
            json=body,
        )


@asynccontextmanager
async def running_stack(
    folder: Path, policy: Policy = POLICY, keys_age_s: int = 0, **settings: object
) -> AsyncIterator[Stack]:
    """Start everything in a folder, and end it. In the main thread.

    With ``keys_age_s`` the keys are that many seconds old: old tokens can then be signed.
    ``settings`` are members of the issuer's configuration.
    """
    options = DevelopmentOptions(
        folder=folder / ".tocsin",
        out=folder,
        services=("orders", "inventory"),
        public_port=find_free(),
        internal_port=find_free(),
        policy=policy,
        grpc_port=0,
    )
    if keys_age_s:
        ceremony.init(
            options.folder / "issuer",
            issuer=f"http://127.0.0.1:{options.public_port}",
            policy=policy,
            now=int(time.time()) - keys_age_s,
        )
    with EmbeddedNats(folder / "nats") as nats:
        external = ExternalServers(nats.url, nats.core_credentials, nats.edge_credentials, None)
        with Development(options, external) as development:
            if settings:
                development.service = with_settings(development.service, settings)
            service = development.service
            try:
                await service.start()
                secrets = await development.first_start()
                assert secrets is not None
                development.write_service_files()
                service.open()
                async with httpx.AsyncClient(timeout=10) as http:
                    yield Stack(development, nats, folder, http, secrets)
            finally:
                await service.stop()


def with_settings(service: IssuerService, changed: Mapping[str, object]) -> IssuerService:
    """The same service, not yet started, with these members of its configuration."""
    before = service._settings  # pyright: ignore[reportPrivateUsage]
    config = checked_config({**before.config.model_dump(exclude_unset=True), **changed})
    return IssuerService(replace(before, config=config))
