"""An issuer that demands certificates, over HTTP and gRPC: a service is known by its own."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.support.certificates import Authority, Issued
from tests.support.ports import find_free
from tests.support.stack import POLICY as KEYSET_POLICY
from tocsin_issuer.development import Development, DevelopmentOptions
from tocsin_issuer.exchange.policy_file import LOOK_S, POLICY_NAME
from tocsin_issuer.service import IssuerService
from tocsin_issuer.settings import ExternalServers
from tocsin_issuer.tls.certificate_name import CertificateName
from tocsin_issuer.tls.files import TlsFiles
from tocsin_schemas.confirmation import thumbprint
from tocsin_schemas.errors import ExchangeUnavailable, TokenRejected
from tocsin_verifier_agent import VerifierAgent
from tocsin_verifier_agent.exchange import ExchangeClient

POLICY = """
[clients.orders-service]
receives = ["orders"]

[clients.orders-service.targets.inventory]
scopes = ["inventory:read"]
"""
SERVERS, CLIENTS = Authority("servers"), Authority("clients")
ORDERS = CLIENTS.client("orders-service")


@pytest.fixture
async def development(tmp_path: Path) -> AsyncIterator[Development]:
    options = DevelopmentOptions(
        folder=tmp_path / ".tocsin",
        out=tmp_path,
        services=("orders", "inventory"),
        public_port=find_free(),
        internal_port=find_free(),
        policy=KEYSET_POLICY,
        grpc_port=find_free(),
    )
    certificate, key = SERVERS.server().write(tmp_path, "listener")
    files = TlsFiles(
        certificate=certificate, key=key, client_ca=CLIENTS.write(tmp_path / "clients.pem")
    )
    with Development(options, ExternalServers(None, None, None, None)) as development:
        settings = development.service._settings  # pyright: ignore[reportPrivateUsage]
        config = settings.config.model_copy(update={"internal_tls": files})
        service = development.service = IssuerService(replace(settings, config=config))
        try:
            await service.start()
            await development.first_start()
            development.write_service_files()
            service.open()
            (tmp_path / ".tocsin" / "issuer" / POLICY_NAME).write_text(POLICY)
            await service.accounts.clients.create_with_certificate(
                "orders-service",
                ["orders"],
                name=CertificateName.parse("subject_dn", "CN=orders-service"),
            )
            await asyncio.sleep(LOOK_S)
            yield development
        finally:
            await service.stop()


def orders_file(development: Development, folder: Path, transport: str, issued: Issued) -> Path:
    issued.write(folder, "orders")
    SERVERS.write(folder / "ca.pem")
    config = development.service.config
    urls = {
        "http": f"https://127.0.0.1:{config.internal_port}/oauth/token",
        "grpc": f"https://127.0.0.1:{config.grpc_port}",
    }
    path = folder / "orders.tocsin"
    text = path.read_text().partition("\n[exchange]")[0]
    path.write_text(
        f"""{text}
[exchange]
url = "{urls[transport]}"
transport = "{transport}"
client_id = "orders-service"
ca = "ca.pem"
certificate = "orders.pem"
key = "orders.key"
"""
    )
    return path


async def log_in(development: Development) -> str:
    password = (development._options.folder / "first-user.toml").read_text().split('"')[3]
    async with httpx.AsyncClient() as client:
        body = {"username": "alice", "password": password}
        answer = await client.post(f"{development.public_url}/v1/login", json=body)
    return str(answer.json()["access_token"])


@pytest.mark.parametrize("transport", ["http", "grpc"])
async def test_a_service_is_known_by_its_certificate(
    development: Development, tmp_path: Path, transport: str
) -> None:
    token = await log_in(development)
    path = orders_file(development, tmp_path, transport, ORDERS)
    orders, inventory = (
        VerifierAgent.from_file(tmp_path / f"{name}.tocsin") for name in ("orders", "inventory")
    )
    async with orders, inventory:
        async with ExchangeClient.from_file(orders, path) as exchange:
            first = await exchange.exchange(token, "inventory")
            assert (await exchange.exchange(token, "inventory")).token == first.token
        verified = inventory.verify(first.token, certificate=ORDERS.der)
        assert verified.bound_to == thumbprint(ORDERS.der)
        with pytest.raises(TokenRejected):
            inventory.verify(first.token)
        stranger = Authority("strangers").client("orders-service")
        path = orders_file(development, tmp_path, transport, stranger)
        async with ExchangeClient.from_file(orders, path) as exchange:
            with pytest.raises(ExchangeUnavailable) as caught:
                await exchange.exchange(token, "inventory")
        assert caught.value.code == "exchange_failed"


async def test_the_grpc_listener_shows_a_new_certificate(
    development: Development, tmp_path: Path
) -> None:
    """As every other listener does, without a restart."""
    renewed = SERVERS.server()
    renewed.write(tmp_path, "listener")
    await asyncio.sleep(LOOK_S)
    address = ("127.0.0.1", development.service.config.grpc_port or 0)
    shown = await asyncio.to_thread(ssl.get_server_certificate, address, timeout=5)
    assert ssl.PEM_cert_to_DER_cert(shown) == renewed.der
