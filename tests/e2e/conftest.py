"""A whole stack on real servers for each test, with a short lease."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tocsin_issuer.development import Development, DevelopmentOptions, FirstSecrets
from tocsin_issuer.embedded import EmbeddedNats
from tocsin_issuer.embedded.port import find_free
from tocsin_issuer.settings import ExternalServers
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
        import tomllib

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


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    options = DevelopmentOptions(
        folder=tmp_path / ".tocsin",
        out=tmp_path,
        services=("orders", "inventory"),
        public_port=find_free(),
        internal_port=find_free(),
        policy=POLICY,
    )
    with EmbeddedNats(tmp_path / "nats") as nats:
        external = ExternalServers(nats.url, nats.core_credentials, nats.edge_credentials, None)
        with Development(options, external) as development:
            service = development.service
            try:
                await service.start()
                secrets = await development.first_start()
                assert secrets is not None
                development.write_service_files()
                service.open()
                async with httpx.AsyncClient(timeout=10) as http:
                    yield Stack(development, nats, tmp_path, http, secrets)
            finally:
                await service.stop()
